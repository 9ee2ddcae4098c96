"""What the rows say of those who sent: AE titles with addresses, and kinds of instances. Read only."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ponte.uid import is_valid_uid
from ponte_net.contexts import Kind
from router.database import FILE_NAME
from router.spool import FOLDER_NAME

_MOST_SENDERS: Final = 64
_LATEST: Final = 20_000
_LATEST_KINDS: Final = 5000
_BUSY_S: Final = 2.0
_SENDERS: Final = (
    "SELECT a.calling_ae_title, a.address, max(a.started_at), count(*) FROM (SELECT DISTINCT association_id"
    " FROM (SELECT association_id FROM instances ORDER BY number DESC LIMIT ?)) i"
    " JOIN associations a ON a.id = i.association_id"
    " GROUP BY a.calling_ae_title, a.address ORDER BY max(a.started_at) DESC"
)
_KINDS: Final = (
    "SELECT sop_class_uid, transfer_syntax_uid, count(*) FROM"
    " (SELECT sop_class_uid, transfer_syntax_uid FROM instances ORDER BY number DESC LIMIT ?)"
    " GROUP BY 1, 2 ORDER BY 3 DESC"
)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent, from where, and when last, in seconds since the epoch."""

    ae_title: str
    address: str
    last_at: float
    associations: int


def senders(root: Path) -> list[Sender]:
    """Of the latest 20,000 instances, the latest first, 64 at most; none where no rows can be read."""
    return [Sender(*row) for row in _rows(root, _SENDERS, _LATEST)[:_MOST_SENDERS]]


def kinds(root: Path) -> list[Kind]:
    """SOP class and transfer syntax of the latest 5000 instances, the most frequent first."""
    found = (Kind(str(row[0]), str(row[1])) for row in _rows(root, _KINDS, _LATEST_KINDS))
    return [kind for kind in found if all(map(is_valid_uid, kind))]


def _rows(root: Path, query: str, most: int) -> list[tuple[str, str, float, int]]:
    path = root / FOLDER_NAME / FILE_NAME
    if not path.is_file():
        return []
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
        ) as rows:
            rows.execute("PRAGMA query_only = 1")
            return rows.execute(query, (most,)).fetchall()
    except sqlite3.Error:
        return []
