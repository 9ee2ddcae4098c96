"""Who ingests an archive: the same after an interruption, somebody else once it was gone through.

What a run has claimed or confirmed is known by its identity. Were that the archive's digest alone, an archive
that is sent twice would find its own instances, and none would be called a duplicate.
"""

from __future__ import annotations

from secrets import token_hex

from ponte.dedup import Row, Store


def begin(store: Store, sha256: str, scope: str = "") -> str:
    """The identity of the run over this archive: of the one that was interrupted, if there is one.

    `scope` is that of the ledger.
    """
    fresh = Row(sha256, token_hex(8))
    row = store.get(_key(sha256, scope))
    if row is None:
        row = (
            fresh if store.swap(_key(sha256, scope), None, fresh) else store.get(_key(sha256, scope)) or fresh
        )
    return f"{sha256}#{row.owner}"


def end(store: Store, sha256: str, scope: str = "") -> None:
    """It was gone through: whoever comes with the same archive is somebody else."""
    store.swap(_key(sha256, scope), store.get(_key(sha256, scope)), None)


def _key(sha256: str, scope: str) -> str:
    return f"{scope}run#{sha256}"
