"""The organised folders: `YYYYMMDD_HHMMSS_PatientID_PatientName/<modality>.<SOPInstanceUID>.dcm`, as people
and old scripts know them. Each file is a second name, a hard link, of one in the spool: no second copy.

These names, and `.metadata.json`, are the one place where a patient's data becomes a path. They are made of
letters, digits, `-`, `_` and inner dots alone, so that Linux and Windows both take them and none leads out of
its folder; nobody but the owner may look into a folder. They never go to a log.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import unicodedata
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Final

TIME_FORMAT: Final = "%Y%m%d_%H%M%S"
UNKNOWN: Final = "UNKNOWN"
_MOST_BYTES = 64
_MOST_NAME = 255
_MOST_MODALITY = 16
_NO_MODALITY = "UN"
_OWNER_ONLY = 0o700
_SEVERAL = re.compile(r"_{2,}")
_NOT_A_CODE = re.compile(r"[^A-Za-z0-9_]+", re.ASCII)
_PORTS = (f"{port}{number}" for port in ("COM", "LPT") for number in range(10))
_RESERVED = frozenset({"CON", "PRN", "AUX", "NUL", *_PORTS})
_MEANT_FOR_US = frozenset("._")


def folder_name(made_at: datetime, patient_id: str, patient_name: str) -> str:
    """Of a study's folder. `made_at` in the time zone of the place; at most 145 bytes in UTF-8."""
    return f"{made_at.strftime(TIME_FORMAT)}_{safe_part(patient_id)}_{safe_part(patient_name)}"


def file_name(modality: bytes | None, sop_instance_uid: str) -> str:
    """Of an instance in its study's folder; a valid UID needs no care. At most 86 characters of ASCII."""
    code = _NOT_A_CODE.sub("", (modality or b"").decode("ascii", "replace"))[:_MOST_MODALITY]
    if code.upper() in _RESERVED:  # Windows sees a device in what stands before the first dot
        code += "_"
    return f"{code or _NO_MODALITY}.{sop_instance_uid}.dcm"


def safe_part(text: str, most_bytes: int = _MOST_BYTES) -> str:
    """A text as a part of a name: what is no letter, mark, digit, `-` or `.` becomes `_`. Letters of every
    script stay; signs that turn the direction of writing do not. `UNKNOWN` where nothing is left."""
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(char if _is_harmless(char) else "_" for char in composed)
    short = _SEVERAL.sub("_", kept).encode(errors="replace")[:most_bytes].decode(errors="ignore")
    return short.strip("_.") or UNKNOWN


def _is_harmless(char: str) -> bool:
    return char in "-." or unicodedata.category(char)[0] in "LMN"


def is_study_folder(name: str) -> bool:
    """True for a name that a study's folder may have: one part, and neither hidden nor one of ours."""
    if not name or name[0] in _MEANT_FOR_US or "/" in name or "\0" in name:
        return False
    try:
        return len(name.encode()) <= _MOST_NAME
    except UnicodeEncodeError:  # no name that could be kept in a row
        return False


def is_instance_file(name: str) -> bool:
    """True for what the old router, and this one, call an instance."""
    return name.lower().endswith(".dcm") and not name.startswith(".")


class Folders:
    """The folders on the disk. Whoever links or unlinks holds `lock` from reading the rows that say so until
    it is done, so that nobody links again what another takes away. All raise `OSError`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = RLock()

    def link(self, file: Path, folder: str, name: str) -> bool:
        """Give the file its name here; True also where it has it. False where another file has that name,
        which is left as it is."""
        path = self.root / folder / name
        for _ in range(2):
            try:
                os.link(file, path)
            except FileNotFoundError:
                path.parent.mkdir(mode=_OWNER_ONLY, exist_ok=True)
            except FileExistsError:
                return self.has(file, folder, name)
            else:
                return True
        raise FileNotFoundError(errno.ENOENT, "neither the file nor a folder for it")

    def has(self, file: Path, folder: str, name: str) -> bool:
        """True where the name is there, and of this very file."""
        try:
            there = os.lstat(self.root / folder / name)
            return os.path.samestat(there, os.lstat(file))
        except FileNotFoundError:
            return False

    def close_to_others(self, folder: str) -> None:
        """Let nobody else look into a folder that was there before, as far as it is ours to say."""
        path = self.root / folder
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.chmod(_OWNER_ONLY)

    def unlink(self, folder: str, name: str) -> None:
        """Take the name away; none is no error."""
        (self.root / folder / name).unlink(missing_ok=True)

    def clear(self, folder: str) -> None:
        """Take the folder away if nothing is left in it."""
        try:
            (self.root / folder).rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise
