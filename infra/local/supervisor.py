"""`python -m infra.local.supervisor`: holds the local stack up until it is told to stop."""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import time

from infra.local.errors import LocalStackError
from infra.local.interrupts import Interrupted, Interrupts
from infra.local.options import StackOptions
from infra.local.stack import LocalStack
from infra.local.state import StackState, StateFolder

WATCH_S = 0.5


def run(options: StackOptions, folder: StateFolder) -> None:
    """Start the stack with the demo study in it, say where it is, and hold it until a part stops by itself.

    Raises `LocalStackError` then, or when it cannot start; `Interrupted` when asked to stop.
    """
    with folder.owned(), LocalStack(options, say=_say) as stack:
        _say("loading the demo study")
        study = stack.load_demo_study()
        folder.write(describe(stack, study, folder))
        _say(f"up: {stack.api_url}")
        while not stack.broken:
            time.sleep(WATCH_S)
        raise LocalStackError(stack.broken)


def describe(stack: LocalStack, study: str, folder: StateFolder) -> StackState:
    """The stack as the other commands find it."""
    own = stack.orthanc
    return StackState(
        pid=os.getpid(),
        started=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        api_url=stack.api_url,
        docs_url=f"{stack.api_url}/docs",
        emulator_url=stack.aws.endpoint_url,
        dicom_wado_url=stack.dicom_wado_url,
        study_instance_uid=study,
        orthanc_url=own.url if own else "",
        orthanc_username=own.username if own else "",
        orthanc_password=own.password if own else "",
        inbox_bucket=stack.outputs.get("InboxBucket", "") if stack.takes_archives else "",
        folder=str(stack.folder),
        log=str(folder.log),
    )


def _say(text: str) -> None:
    sys.stderr.write(f"ponte: {text}\n")
    sys.stderr.flush()


def main() -> int:
    """Exit code 0 when asked to stop, 3 when the stack could not start or broke."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    with Interrupts():
        try:
            run(StackOptions.from_environment(), StateFolder())
        except LocalStackError as error:
            _say(error.detail)
            return 3
        except Interrupted:
            _say("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
