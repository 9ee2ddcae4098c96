"""Being the user whom a folder belongs to: nothing that root does there shall become root's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Root works as the folder's owner; whoever else asks stays who they are."""
    found = folder.stat()
    if os.geteuid() != 0 or found.st_uid == 0:
        yield
        return
    user, group = os.geteuid(), os.getegid()
    os.setegid(found.st_gid)
    os.seteuid(found.st_uid)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
