from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging
from ponte_aws.log import make_logger

make_logger("worker").info("study rendered", extra={"job_id": "a"})
logging.getLogger("ponte_aws.queues").warning("message wanted again", extra={"reason": "down"})
"""


def test_a_line_of_a_package_is_json_with_its_keys_and_comes_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["message"], line["service"]) for line in lines] == [
        ("study rendered", "worker"),
        ("message wanted again", "worker"),
    ]
    assert (lines[0]["job_id"], lines[1]["reason"]) == ("a", "down")
    assert done.stderr == ""
