"""What a cold start of the worker imports: a heavy module on that path is seconds that somebody waits.

Counted, not timed: `python -m bench imports` says what it costs.
"""

from __future__ import annotations

import json
import subprocess
import sys

ALLOWED = frozenset(
    {
        "PIL", "annotated_types", "aws_lambda_powertools", "boto3", "botocore", "certifi", "dateutil",
        "dotenv", "imagecodecs", "jmespath", "numpy", "openjpeg", "ponte", "ponte_aws", "pydantic",
        "pydantic_core", "pydantic_settings", "pydicom", "render", "s3transfer", "six",
        "typing_extensions", "typing_inspection", "urllib3",
    }
)  # fmt: skip
"""Top-level packages; what begins with an underscore is part of one of them."""

MOST_MODULES = 750
"""Of other people, the standard library's included; 737 with Python 3.13."""

PROBE = """
import json, sys
# Not in the layers; pydicom takes them, and what they need, where it finds them
sys.modules.update(dict.fromkeys(("requests", "pylibjpeg", "rle")))
import render.worker
print(json.dumps([name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]))
"""


def test_the_worker_imports_nothing_heavy() -> None:
    answer = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True, text=True)
    modules = json.loads(answer.stdout)
    packages = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert {name for name in packages if not name.startswith("_")} - ALLOWED <= {"cython_runtime"}
    ours = ("ponte", "ponte_aws", "render")
    assert len([name for name in modules if name.partition(".")[0] not in ours]) <= MOST_MODULES
