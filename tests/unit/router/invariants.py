"""What must hold after every restart, whatever came before it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ponte.scan import scan
from router.database import Instance
from tests.unit.router.store import Store


def check(
    root: Path, acknowledged: Mapping[str, bytes], quarantined: Mapping[str, bytes] | None = None
) -> None:
    """Start on the spool and look: `acknowledged` are the datasets for which a peer saw Success, by UID.

    I1: each is kept, byte for byte, once; those of `quarantined` in quarantine. I2: nothing is kept that is
    not whole. A second start finds nothing to do.
    """
    store = Store(root)
    try:
        for uid, dataset in acknowledged.items():
            assert store.bytes_of(uid) == dataset, "an acknowledged instance is lost"
        for dataset in (quarantined or {}).values():
            assert _is_in_quarantine(store, dataset), "an acknowledged conflict is lost"
        _check_files(store)
    finally:
        store.close()
    again = Store(root)
    found = again.findings
    again.close()
    assert (found.adopted, found.missing, found.removed, found.partial) == (0, 0, 0, 0)


def _check_files(store: Store) -> None:
    rows = store.committer.run(lambda database: database.after(0, 1_000_000))
    assert isinstance(rows, list)
    instances = [row for row in rows if isinstance(row, Instance)]
    assert sorted(one.place for one in instances) == sorted(store.files()), "rows and files do not agree"
    for one in instances:
        verdict = scan([store.spool.path_of(one.place).read_bytes()])
        assert verdict.accepted
        assert verdict.sha256 == one.sha256.hex()
        assert verdict.sop_instance_uid == one.sop_instance_uid


def _is_in_quarantine(store: Store, dataset: bytes) -> bool:
    for kept in store.quarantine.list():
        with store.quarantine.open(kept.id) as file:
            if file.read().endswith(dataset):
                return True
    return False
