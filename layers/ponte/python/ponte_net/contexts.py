"""What to propose for the instances that are at hand (PS3.8 7.1.1.13, PS3.7 D.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pydicom.uid import UID

from ponte.destination import Outgoing

MOST_CONTEXTS: Final = 128
"""Presentation Context IDs are the odd numbers from 1 to 255."""
VERIFICATION: Final = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"


class Kind(NamedTuple):
    """One presentation context: with a single transfer syntax, so that no peer can choose one that the
    instance does not have."""

    sop_class_uid: str
    transfer_syntax_uid: str

    @property
    def words(self) -> str:
        """The names of both, as far as the standard has any."""
        return f"{UID(self.sop_class_uid).name} in {UID(self.transfer_syntax_uid).name}"


ECHO: Final = Kind(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)


def kind_of(instance: Outgoing) -> Kind:
    return Kind(instance.sop_class_uid, instance.transfer_syntax_uid)


def batches(
    instances: Iterable[Outgoing], *, most: int, most_bytes: int, contexts: int = MOST_CONTEXTS
) -> Iterator[list[Outgoing]]:
    """By number, bytes, and contexts that one association can have; a large instance goes alone."""
    batch: list[Outgoing] = []
    kinds: set[Kind] = set()
    total = 0
    for instance in instances:
        kind, size = kind_of(instance), instance.dataset_bytes
        crowded = kind not in kinds and len(kinds) == contexts
        if batch and (crowded or len(batch) == most or total + size > most_bytes):
            yield batch
            batch, kinds, total = [], set(), 0
        batch.append(instance)
        kinds.add(kind)
        total += size
    if batch:
        yield batch
