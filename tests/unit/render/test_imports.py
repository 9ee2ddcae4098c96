"""What a cold start of the worker imports: a heavy module on that path is seconds that somebody waits."""

from __future__ import annotations

import json
import subprocess
import sys

ALLOWED = frozenset(
    {
        "PIL", "annotated_types", "aws_lambda_powertools", "boto3", "botocore", "certifi",
        "charset_normalizer", "dateutil", "dotenv", "idna", "imagecodecs", "jmespath", "numpy", "openjpeg",
        "ponte", "ponte_aws",
        "pydantic", "pydantic_core", "pydantic_settings", "pydicom", "pylibjpeg", "render", "requests", "rle",
        "s3transfer", "simplejson", "six", "typing_extensions", "typing_inspection", "urllib3",
    }
)  # fmt: skip
"""Top-level packages; what begins with an underscore is part of one of them."""

MOST_CPU_SECONDS = 2.0
"""The target is 0.6; a loaded machine and cold files on it take their share. See docs/performance.md."""

PROBE = """
import json, sys, time
began = time.process_time()
import render.worker
taken = time.process_time() - began
names = {name.partition(".")[0] for name, module in sys.modules.items() if getattr(module, "__spec__", None)}
print(json.dumps({"taken": taken, "names": sorted(names - set(sys.stdlib_module_names))}))
"""


def test_the_worker_imports_nothing_heavy() -> None:
    answer = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True, text=True)
    found = json.loads(answer.stdout)
    assert {name for name in found["names"] if not name.startswith("_")} - ALLOWED <= {"cython_runtime"}
    assert found["taken"] < MOST_CPU_SECONDS
