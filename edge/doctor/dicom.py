"""A peer that speaks DICOM: association, C-ECHO, C-STORE of the marked object, and C-FIND for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.uid import UID

from doctor.certificates import look_at_tls, speaks_tls
from doctor.marked import KIND, STUDY_UID, marked_object
from doctor.reach import Reach
from doctor.steps import Check, Found, Row, Table
from doctor.words import Phrase, is_known
from ponte.errors import (
    AccessRefused,
    BadAnswer,
    DestinationRefused,
    DestinationTimeout,
    DestinationUnavailable,
    PonteError,
)
from ponte_net.association import Association, Patience, Peer
from ponte_net.contexts import ECHO, IMPLICIT_VR_LITTLE_ENDIAN, MOST_CONTEXTS, Kind
from ponte_net.negotiation import Answered
from ponte_net.scu import Scu, ScuLimits
from ponte_net.tls import TlsOptions, client_context
from router.catalogue import open_catalogue
from router.destinations import DicomNode

_PATIENCE: Final = Patience(connect_s=5, acse_s=10, dimse_s=15)
_LIMIT_S: Final = 25.0
FIND: Final = Kind("1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT_VR_LITTLE_ENDIAN)
COMMITMENT: Final = Kind("1.2.840.10008.1.20.1", IMPLICIT_VR_LITTLE_ENDIAN)
_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
    "1.2.840.10008.5.1.4.1.1.1",  # CR
    "1.2.840.10008.5.1.4.1.1.1.1",  # DX for presentation
    "1.2.840.10008.5.1.4.1.1.1.2",  # mammography for presentation
    "1.2.840.10008.5.1.4.1.1.6.1",  # US
    "1.2.840.10008.5.1.4.1.1.3.1",  # US multi-frame
    "1.2.840.10008.5.1.4.1.1.12.1",  # XA
    "1.2.840.10008.5.1.4.1.1.20",  # NM
    "1.2.840.10008.5.1.4.1.1.128",  # PT
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF
)
_SYNTAXES: Final = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)
_WITHOUT_PIXELS: Final = frozenset(_CLASSES[-2:])
_UNCOMPRESSED: Final = _SYNTAXES[:2]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for. `seen` are the kinds that were received lately; with `stores` the marked object is
    sent; `may_store` is False where the operator has not allowed that."""

    stores: bool = False
    may_store: bool = True
    is_modality: bool = False
    seen: Sequence[Kind] = field(default_factory=tuple)


class DicomPeer:
    """What its checks find out of one another."""

    def __init__(self, node: DicomNode, wishes: Wishes) -> None:
        self._node = node
        self._wishes = wishes
        self._reach = Reach(node.host, node.port, local_port=node.local_port)
        self._answered: Answered | None = None
        self._sent = ""
        files = TlsOptions(node.ca_file, node.certificate_file, node.key_file)
        self._tls = files if node.tls else None

    def checks(self) -> tuple[Check, ...]:
        """In their order; a modality is not asked what it keeps."""
        found = list(self._reach.checks())
        if self._node.tls:
            found.append(Check("tls", self.tls, ("tcp",)))
        before = ("tls",) if self._node.tls else ("tcp",)
        found += [
            Check("association", self.associate, before, _LIMIT_S),
            Check("echo", self.echo, ("association",), _LIMIT_S),
            Check("store", self.store, ("association",), 2 * _LIMIT_S),
        ]
        if not self._wishes.is_modality:
            found.append(Check("query", self.query, ("association",), 2 * _LIMIT_S))
            found.append(Check("delete", self.delete, ("store",)))
        return tuple(found)

    def tls(self) -> Found:
        """The handshake, with the files of the configuration."""
        assert self._tls is not None  # noqa: S101  (else it is not among the checks)
        try:
            context = client_context(self._tls)
        except PonteError:
            return Found("failed", (Phrase("tls.files"),), (Phrase("tls.files_advice", self._files()),))
        return look_at_tls(self._node.host, self._reach.address, self._node.port, context)

    def associate(self) -> Found:
        """What it accepts, kind by kind."""
        kinds = self._proposed()
        try:
            association = Association.open(self._scu.peer, kinds, self._scu.terms)
        except PonteError as error:
            return self._failed(error)
        association.release()
        self._answered = answered = association.answered
        rows = tuple(_row(kind, answered) for kind in kinds)
        refused = [kind for kind in self._wishes.seen if kind in answered.rejected]
        values = {
            "accepted": str(len(answered.contexts)), "proposed": str(len(kinds)),
            "max_pdu": str(answered.max_pdu), "implementation": answered.implementation,
        }  # fmt: skip
        said, table = (Phrase("association.made", values),), Table(_COLUMNS, rows)
        if not self._is_modality_or_stores(answered):
            return Found("failed", said, (Phrase("association.none_advice", self._titles()),), table)
        advice = []
        if refused:
            advice.append(Phrase("association.seen_advice", {"count": str(len(refused))}))
        if self._node.commitment and COMMITMENT not in answered.contexts:
            advice.append(Phrase("association.commitment_advice"))
        return Found("warning" if advice else "ok", said, tuple(advice), table)

    def _is_modality_or_stores(self, answered: Answered) -> bool:
        """A destination that accepts no class of storage is none, whatever else it accepts."""
        if self._wishes.is_modality:
            return bool(answered.contexts)
        return bool(answered.contexts.keys() - {ECHO, FIND, COMMITMENT})

    def echo(self) -> Found:
        """C-ECHO (PS3.7 9.1.5)."""
        assert self._answered is not None  # noqa: S101  (it needs the association)
        if ECHO not in self._answered.contexts:
            return Found("warning", (Phrase("echo.not_taken"),), (Phrase("echo.not_taken_advice"),))
        try:
            answer = self._scu.echo()
        except PonteError as error:
            return self._failed(error)
        if answer.status:
            values = {"status": f"{answer.status:04X}H"}
            return Found("failed", (Phrase("echo.status", values),), (Phrase("echo.status_advice"),))
        return Found("ok", (Phrase("echo.answered", {"ms": f"{answer.seconds * 1000:.0f}"}),))

    def store(self) -> Found:
        """C-STORE of the marked object (PS3.7 9.1.1), where it is asked for and allowed."""
        if not self._wishes.stores:
            return Found("skipped", (Phrase("store.not_asked"),))
        if not self._wishes.may_store:
            return Found("skipped", (Phrase("store.not_allowed"),))
        instance = marked_object()
        try:
            (outcome,) = self._scu.store([instance])
        except PonteError as error:
            return self._failed(error)
        if not outcome.stored:
            status = f"{outcome.reason:04X}H" if outcome.reason is not None else ""
            return Found(
                "failed", (Phrase("store.refused", {"status": status}),), (_why_refused(outcome.reason),)
            )
        self._sent = instance.sop_instance_uid
        key = "store.taken" if outcome.status == "stored" else "store.warned"
        return Found("ok" if outcome.status == "stored" else "warning", (Phrase(key, {"uid": self._sent}),))

    def query(self) -> Found:
        """C-FIND for the marked object (PS3.4 C.4.1)."""
        assert self._answered is not None  # noqa: S101  (it needs the association)
        if FIND not in self._answered.contexts:
            return Found("skipped", (Phrase("query.not_taken"),))
        node = self._node.model_copy(update={"timeout_s": min(15.0, self._node.timeout_s)})
        try:
            there = open_catalogue(node).instances(STUDY_UID)
        except PonteError as error:
            return Found(
                "warning", (Phrase("query.failed", {"detail": error.code}),), (Phrase("query.advice"),)
            )
        return read_back(self._sent, there)

    def delete(self) -> Found:
        """DICOM has no service for it."""
        return Found("skipped", (Phrase("delete.stays", {"uid": self._sent, "study": STUDY_UID}),))

    @property
    def _scu(self) -> Scu:
        node = self._node
        return Scu(
            Peer(node.host, node.port, node.ae_title),
            calling_ae_title=node.calling_ae_title,
            max_pdu=node.max_pdu,
            local_port=node.local_port,
            tls_options=self._tls,
            limits=ScuLimits(retries=0, patience=_PATIENCE),
        )

    def _proposed(self) -> list[Kind]:
        """Of a destination what it may be sent, what was received lately first; of a modality what it may be
        asked."""
        if self._wishes.is_modality:
            return [ECHO, COMMITMENT, KIND]
        usual = (
            Kind(one, syntax)
            for one in _CLASSES
            for syntax in (_UNCOMPRESSED if one in _WITHOUT_PIXELS else _SYNTAXES)
        )
        return _first([ECHO, FIND, COMMITMENT, KIND, *self._wishes.seen, *usual])

    def _files(self) -> dict[str, str]:
        files: list[Path | None] = [self._node.ca_file, self._node.certificate_file, self._node.key_file]
        return {"files": ", ".join(str(path) for path in files if path is not None)}

    def _failed(self, error: PonteError) -> Found:
        """What went wrong with an association, and what to do."""
        node = self._node
        why = _reason(error)
        if not node.tls and why in ("closed", "not_dicom") and speaks_tls(self._reach.address, node.port):
            why = "speaks_tls"
        elif node.tls and node.certificate_file is None and why == "closed":
            why = "tls"  # a server that asks for a certificate says so only after the handshake (TLS 1.3)
        titles = self._titles()
        return Found(
            "failed",
            (Phrase(f"association.{why}", titles),),
            (Phrase(f"association.{why}_advice", titles),),
        )

    def _titles(self) -> dict[str, str]:
        node = self._node
        return {
            "ours": node.calling_ae_title, "theirs": node.ae_title, "host": node.host, "port": str(node.port),
        }  # fmt: skip


_COLUMNS: Final = ("table.abstract_syntax", "table.transfer_syntax", "table.result")


def _first(kinds: Iterable[Kind]) -> list[Kind]:
    return list(dict.fromkeys(kinds))[:MOST_CONTEXTS]


def _row(kind: Kind, answered: Answered) -> Row:
    why = answered.rejected.get(kind)
    result = "accepted" if why is None else f"context.{why.replace(' ', '_')}"
    names = UID(kind.sop_class_uid).name, UID(kind.transfer_syntax_uid).name
    return Row((*names, result if is_known(result) else str(why)), "ok" if why is None else "warning")


_WORDS: Final = {
    "called AE title not recognised": "called",
    "calling AE title not recognised": "calling",
    "temporary congestion": "busy",
    "local limit exceeded": "busy",
    "application context not supported": "odd",
    "protocol version not supported": "odd",
    "no reason given": "no_reason",
}
"""The words of `negotiation.Rejection`, and which of ours say them."""


def _reason(error: PonteError) -> str:
    """The last part of a key for what an association failed with."""
    if "rejects" in error.detail:
        return _WORDS.get(error.detail.rpartition(": ")[2], "no_reason")
    match error:
        case AccessRefused():
            return "calling"
        case DestinationTimeout():
            return "silent"
        case BadAnswer():
            return "not_dicom"
        case DestinationRefused() if "TLS" in error.detail or "certificate" in error.detail:
            return "tls"
        case DestinationUnavailable() if "local port" in error.detail:
            return "local_port"
        case _:
            return "closed"


def _why_refused(status: int | None) -> Phrase:
    groups = {0xA7: "full", 0xA9: "mismatch", 0xC0: "cannot_understand"}
    names = {0x0122: "class", 0x0124: "not_authorised", 0x0111: "duplicate"}
    if status is None:
        return Phrase("store.context_advice")
    group = "cannot_understand" if status >> 12 == 0xC else groups.get(status >> 8, "other")
    return Phrase(f"store.{names.get(status, group)}_advice")


def read_back(sent: str, there: set[str]) -> Found:
    """What it means that a destination has these of the marked study."""
    if not sent:
        return Found("ok", (Phrase("query.answers"),))
    if sent in there:
        return Found("ok", (Phrase("query.there"),))
    return Found("failed", (Phrase("query.not_there"),), (Phrase("query.not_there_advice"),))
