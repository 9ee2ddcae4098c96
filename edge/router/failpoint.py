"""Places where a test kills this process, or has the disk fail, so that what it promised can be checked.

`FAILPOINT=name[:count][=ERROR]`, several with commas. When somebody comes by for the count-th time, the
process ends as by `kill -9`: no buffer is written, no file removed. With an error's name (`EIO`) that
`OSError` is raised instead, as if by the call that comes next.
"""

from __future__ import annotations

import errno
import os
from itertools import count
from typing import Final

_KILLED: Final = 137
"""The exit code of `kill -9`, as a shell gives it."""


def _parse(text: str) -> dict[str, dict[int, str]]:
    """By name and count: the error's name, "" to be killed."""
    plans: dict[str, dict[int, str]] = {}
    for part in filter(None, text.split(",")):
        place, _, error = part.partition("=")
        name, _, number = place.partition(":")
        plans.setdefault(name, {})[int(number or 1)] = error
    return plans


_plans = _parse(os.environ.get("FAILPOINT", ""))
_passes = {name: count(1) for name in _plans}


def failpoint(name: str) -> None:
    """Nothing, but where the environment asks for more. Raises `OSError`."""
    if name in _plans:
        _reached(name)


def _reached(name: str) -> None:
    error = _plans[name].get(next(_passes[name]))
    if error is None:
        return
    if not error:
        os._exit(_KILLED)
    code = getattr(errno, error)
    raise OSError(code, os.strerror(code))
