"""What the doctor finds, for tests: the steps by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doctor.plan import subjects
from doctor.steps import Step, Subject, examine
from router.configfile import load

Steps = dict[str, Step]


def configured(folder: Path, values: str) -> Any:
    """A configuration of YAML, on a spool in the folder."""
    path = folder / "doctor.yaml"
    path.write_text(f"dicom_root: {folder / 'root'}\n{values}\n")
    return load(path, {})


def ask(chosen: Sequence[Subject]) -> Mapping[str, Steps]:
    """All steps, by subject and name."""
    found: dict[str, Steps] = {one.name: {} for one in chosen}
    for step in examine(chosen):
        found[step.subject.name][step.name] = step
    return found


def ask_one(config: Any, name: str, *, stores: bool = False) -> Steps:
    """The steps of one subject."""
    chosen = subjects(config, [name], stores=stores)
    return ask(chosen)[chosen[0].name]


def states(steps: Steps) -> dict[str, str]:
    return {name: step.found.state for name, step in steps.items()}


def keys(steps: Steps, name: str) -> list[str]:
    """Of what was found, and then of what is to be done."""
    found = steps[name].found
    return [phrase.key for phrase in (*found.said, *found.advice)]
