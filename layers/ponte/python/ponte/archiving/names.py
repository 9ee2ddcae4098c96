"""Names of members: data for a report, never a path, and no reason to believe anything.

APPNOTE.TXT 4.4.17, Appendix D.
"""

from __future__ import annotations

import stat
from typing import Final

_LONGEST: Final = 240  # characters: as much as a person can use
_LITTER = frozenset({"__macosx", "thumbs.db", ".ds_store", "desktop.ini", "autorun.inf", "dicomdir"})
_APPLE_DOUBLE = "._"
_PROGRAMS = (".exe", ".dll", ".com", ".bat", ".cmd", ".msi", ".inf", ".ini", ".ico", ".sh", ".jar")


def shown_name(raw: bytes, index: int) -> str:
    """A name that is safe to print, to log beside an archive's own name, and to put behind a folder.

    Relative, without `..`, drive, or what cannot be printed; shortened in the middle. Different members may
    have the same.
    """
    text = _decode(raw).replace("\\", "/").replace(":", "_")
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    printable = "".join(c if c.isprintable() else "_" for c in "/".join(parts))
    if len(printable) > _LONGEST:
        half = _LONGEST // 2
        printable = f"{printable[:half]}\N{HORIZONTAL ELLIPSIS}{printable[-half:]}"
    return printable or f"member {index + 1}"


def _decode(raw: bytes) -> str:
    """UTF-8 where it can be, else code page 437, which is anything: the flag for it is often wrong."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def is_litter(name: str) -> bool:
    """True for what operating systems and viewers leave beside images, going by the name alone."""
    parts = name.lower().split("/")
    return any(
        part in _LITTER or part.startswith(_APPLE_DOUBLE) or part.endswith(_PROGRAMS) for part in parts
    )


def irregular(mode: int) -> str | None:
    """The reason to pass over what is no regular file by its mode: SYMLINK or NOT_REGULAR."""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        return "SYMLINK"
    return None if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "NOT_REGULAR"
