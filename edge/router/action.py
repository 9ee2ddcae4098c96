"""What an N-ACTION of Storage Commitment asks for, and what an N-EVENT-REPORT tells (PS3.4 J.3.2, J.3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ImplicitVRLittleEndian

from ponte.errors import PonteError
from ponte.structure import EXPLICIT_LITTLE, IMPLICIT_LITTLE, walk
from router.reception import Referenced

LONGEST: Final = 16 << 20
"""Bytes of a request: 50,000 references take 8 MB."""
_PROBLEMS = (
    PonteError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    OSError,
    NotImplementedError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The transaction, and the instances to be committed."""

    transaction_uid: str
    references: tuple[Referenced, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """The transaction, what is committed, and what is not, with the reason (PS3.3 C.14)."""

    transaction_uid: str
    committed: tuple[str, ...]
    failed: dict[str, int]


class BadAction(Exception):
    """It cannot be read."""


def read_action(data: bytes, transfer_syntax_uid: str) -> Wanted:
    """Action Information. Raises `BadAction`; UIDs are as they came."""
    try:
        dataset = _read(data, transfer_syntax_uid)
        items = dataset.get("ReferencedSOPSequence") or []
        references = tuple(
            Referenced(_text(item, "ReferencedSOPClassUID"), _text(item, "ReferencedSOPInstanceUID"))
            for item in items
        )
        return Wanted(_text(dataset, "TransactionUID"), references)
    except _PROBLEMS as error:
        raise BadAction from error


def read_report(data: bytes, transfer_syntax_uid: str) -> Told:
    """Event Information. Raises `BadAction`."""
    try:
        dataset = _read(data, transfer_syntax_uid)
        committed = [
            _text(item, "ReferencedSOPInstanceUID") for item in dataset.get("ReferencedSOPSequence") or []
        ]
        failed = {
            _text(item, "ReferencedSOPInstanceUID"): int(item.get("FailureReason") or 0)
            for item in dataset.get("FailedSOPSequence") or []
        }
        return Told(_text(dataset, "TransactionUID"), tuple(committed), failed)
    except _PROBLEMS as error:
        raise BadAction from error


def _read(data: bytes, transfer_syntax_uid: str) -> Dataset:
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    for _ in walk(data, 0, IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE):
        pass  # every length fits, and there are not too many
    return read_dataset(BytesIO(data), implicit, True)


def _text(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip(" \0")
