"""The systemd units, made from `edge/packaging` for one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from installer.layout import PACKAGING, USER, Layout

NAMES: Final = ("ponte-router.service", "ponte-dashboard.service")
_BEHIND_GRACE_S: Final = 35
"""What the parts of the router may take once associations have ended."""
_COMMAND = """#!/bin/sh
# Made by `ponte router install`. Commands of the router's run as its user, so that no file becomes root's.
cd @CONFIG_FOLDER@ || exit 2
case "$1 $2" in
    "router install" | "router backup" | "router restore" | "router upgrade") exec @PROGRAM@ "$@" ;;
esac
if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid=@USER@ --regid=@USER@ --init-groups @PROGRAM@ "$@"
fi
exec @PROGRAM@ "$@"
"""


def texts(layout: Layout, program: Path, grace_s: float) -> dict[str, str]:
    """The units by name."""
    hardening = (PACKAGING / "hardening.conf").read_text(encoding="utf-8").rstrip()
    return {
        name: _filled(
            (PACKAGING / name).read_text(encoding="utf-8").replace("@HARDENING@", hardening),
            layout, program, grace_s,
        )
        for name in NAMES
    }  # fmt: skip


def command(layout: Layout, program: Path) -> str:
    """What is run as `ponte`."""
    return _filled(_COMMAND, layout, program, 0)


def _filled(text: str, layout: Layout, program: Path, grace_s: float) -> str:
    values = {
        "@USER@": layout.user or USER,
        "@CONFIG_FOLDER@": str(layout.configuration),
        "@PROGRAM_FOLDER@": str(program.parents[2]),
        "@PROGRAM@": str(program),
        "@DICOM_ROOT@": str(layout.root),
        "@HOME@": _home(layout.root),
        "@STOP_SECONDS@": str(int(grace_s) + _BEHIND_GRACE_S),
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _home(root: Path) -> str:
    """Nobody's home is seen; where the root is below one, it alone is."""
    homes = ("/home", "/root", "/run/user")
    if any(root.is_relative_to(home) for home in homes):
        return f"ProtectHome=tmpfs\nBindPaths={root}"
    return "ProtectHome=true"
