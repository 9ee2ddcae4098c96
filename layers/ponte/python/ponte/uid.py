"""UIDs as text: checked without importing pydicom, so that the API starts fast (PS3.5 9.1)."""

from __future__ import annotations

import re

MAX_LENGTH = 64
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)


def is_valid_uid(value: str) -> bool:
    """True for 1 to 64 characters of dot-separated components of digits.

    Leading zeros in a component are tolerated: real devices write them, and the PACS keeps them.
    """
    return len(value) <= MAX_LENGTH and _UID.fullmatch(value) is not None
