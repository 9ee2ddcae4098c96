"""Places where a test kills this process, so that what it promised can be checked: `FAILPOINT=name[:count]`.

Nothing that is set aside for the end of a process happens: no buffer is written, no file is removed.
"""

from __future__ import annotations

import os
from typing import Final

_KILLED: Final = 137
"""The exit code of `kill -9`, as a shell gives it."""


def _parse(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    return name, int(count or 1)


_name, _left = _parse(os.environ.get("FAILPOINT", ""))


def failpoint(name: str) -> None:
    """End the process here and now, where the environment asks for it; the count-th time it comes by."""
    if name == _name:
        _reached()


def _reached() -> None:
    global _left
    _left -= 1
    if not _left:
        os._exit(_KILLED)
