"""All steps together, as plain values: for `--json`, the page and the support bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doctor.steps import Step, Subject


def report(subjects: Sequence[Subject], steps: Sequence[Step]) -> dict[str, Any]:
    """`ok` is False where a step failed; warnings leave it true."""
    return {
        "ok": all(step.found.state != "failed" for step in steps),
        "subjects": [
            {
                "kind": subject.kind,
                "name": subject.name,
                "detail": subject.detail,
                "steps": [step.shown() for step in steps if step.subject is subject],
            }
            for subject in subjects
        ],
    }
