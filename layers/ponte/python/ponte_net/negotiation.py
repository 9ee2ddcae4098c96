"""A-ASSOCIATE, both ways: what we ask and answer is written with pynetdicom's PDUs (PS3.8 9.3, PS3.7 D).

What peers write is read here: the standard wants what is not known passed over, and pynetdicom's reader
refuses it, as it does an AE title with a character too many.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import (
    AbstractSyntaxSubItem,
    ApplicationContextItem,
    ImplementationClassUIDSubItem,
    ImplementationVersionNameSubItem,
    MaximumLengthSubItem,
    PresentationContextItemAC,
    PresentationContextItemRQ,
    SCP_SCU_RoleSelectionSubItem,
    TransferSyntaxSubItem,
    UserInformationItem,
)

from ponte.filemeta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from ponte.uid import is_valid_uid
from ponte_net.contexts import IMPLICIT_VR_LITTLE_ENDIAN, MOST_CONTEXTS, Kind

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
PROTOCOL_VERSION: Final = 1  # a bit

ACCEPTED, USER_REJECTION, NO_REASON, ABSTRACT_SYNTAX_UNKNOWN, TRANSFER_SYNTAXES_UNKNOWN = range(5)
PERMANENT, TRANSIENT = 1, 2
BY_USER, BY_ACSE, BY_PRESENTATION = 1, 2, 3

_RESULTS: Final = {
    USER_REJECTION: "user rejection",
    NO_REASON: "no reason given",
    ABSTRACT_SYNTAX_UNKNOWN: "SOP class not supported",
    TRANSFER_SYNTAXES_UNKNOWN: "transfer syntax not supported",
}
_REASONS: Final = {
    (BY_USER, 1): "no reason given",
    (BY_USER, 2): "application context not supported",
    (BY_USER, 3): "calling AE title not recognised",
    (BY_USER, 7): "called AE title not recognised",
    (BY_ACSE, 1): "no reason given",
    (BY_ACSE, 2): "protocol version not supported",
    (BY_PRESENTATION, 1): "temporary congestion",
    (BY_PRESENTATION, 2): "local limit exceeded",
}
_APPLICATION_CONTEXT, _CONTEXT_RQ, _CONTEXT_AC, _USER_INFORMATION = 0x10, 0x20, 0x21, 0x50
_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x30, 0x40
_MAXIMUM_LENGTH, _CLASS_UID, _ROLE_SELECTION, _VERSION_NAME = 0x51, 0x52, 0x54, 0x55
_ITEM = struct.Struct(">BxH")
_AE_TITLES = slice(4, 36)
_VARIABLE = 68  # bytes of an A-ASSOCIATE PDU before its items, its six first ones not counted
_NOBODY: Final = "ANY"  # in the place of AE titles, which are written as they came


class BadNegotiation(Exception):
    """An A-ASSOCIATE PDU whose items do not fit into it, or lack what they must have."""


class Role(NamedTuple):
    """SCP/SCU role selection (PS3.7 D.3.3.4): what the requestor is to be."""

    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class Proposed:
    """A presentation context of a request."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """An A-ASSOCIATE-RQ as it came. `max_pdu` is what the requestor takes at a time, 0 for any length."""

    called_ae_title: str
    calling_ae_title: str
    ae_titles: bytes = field(repr=False)
    protocol_version: int
    application_context: str
    contexts: tuple[Proposed, ...]
    max_pdu: int
    roles: Mapping[str, Role]
    implementation: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What the acceptor made of what was proposed: contexts of accepted kinds, reasons for the others."""

    contexts: Mapping[Kind, int]
    rejected: Mapping[Kind, str]
    max_pdu: int
    implementation: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """An A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    result: int
    source: int
    reason: int

    @property
    def words(self) -> str:
        return _REASONS.get((self.source, self.reason), f"reason {self.source}/{self.reason}")

    @property
    def body(self) -> bytes:
        return bytes((0, self.result, self.source, self.reason))

    @classmethod
    def of(cls, body: bytes) -> Rejection:
        return cls(*body[1:4])


def request(
    *, calling: str, called: str, kinds: Sequence[Kind], max_pdu: int, roles: Mapping[str, Role] | None = None
) -> bytes:
    """The A-ASSOCIATE-RQ that proposes each of the kinds, in contexts 1, 3, 5 ..."""
    pdu = A_ASSOCIATE_RQ()
    pdu.protocol_version = PROTOCOL_VERSION
    pdu.called_ae_title, pdu.calling_ae_title = called, calling
    contexts = [
        _proposed(identifier, kind) for identifier, kind in zip(range(1, 256, 2), kinds, strict=False)
    ]
    pdu.variable_items = [_application_context(), *contexts, _user_information(max_pdu, roles or {})]
    return pdu.encode()


def read_answer(body: bytes, kinds: Sequence[Kind]) -> Answered:
    """What an A-ASSOCIATE-AC says of the kinds that were proposed. Raises `BadNegotiation`."""
    results: dict[int, tuple[int, str]] = {}
    max_pdu, implementation = 0, ""
    for kind, content in _items(body[_VARIABLE:]):
        if kind == _CONTEXT_AC:
            identifier, result, syntax = _context_answer(content)
            results[identifier] = (result, syntax)
        elif kind == _USER_INFORMATION:
            max_pdu, implementation, _ = _read_user_information(content)
    accepted: dict[Kind, int] = {}
    rejected: dict[Kind, str] = {}
    for identifier, proposed in _numbered(kinds):
        result, syntax = results.get(identifier, (NO_REASON, ""))
        if result == ACCEPTED and syntax == proposed.transfer_syntax_uid:
            accepted[proposed] = identifier
        else:
            rejected[proposed] = _RESULTS.get(result, "with a syntax that was not proposed")
    return Answered(accepted, rejected, max_pdu, implementation)


def read_request(body: bytes) -> Request:
    """An A-ASSOCIATE-RQ. What the standard does not know is passed over. Raises `BadNegotiation`."""
    if len(body) < _VARIABLE:
        raise BadNegotiation("The request ends before its items")
    contexts: list[Proposed] = []
    application_context, user = "", (0, "", dict[str, Role]())
    for kind, content in _items(body[_VARIABLE:]):
        if kind == _APPLICATION_CONTEXT:
            application_context = _text(content)
        elif kind == _CONTEXT_RQ:
            contexts.append(_read_proposed(content))
        elif kind == _USER_INFORMATION:
            user = _read_user_information(content)
    titles = body[_AE_TITLES]
    return Request(
        called_ae_title=_text(titles[:16]),
        calling_ae_title=_text(titles[16:]),
        ae_titles=titles,
        protocol_version=int.from_bytes(body[:2], "big"),
        application_context=application_context,
        contexts=tuple(contexts),
        max_pdu=user[0],
        roles=user[2],
        implementation=user[1],
    )


def accept(
    asked: Request, results: Mapping[int, tuple[int, str]], *, max_pdu: int, roles: Mapping[str, Role]
) -> bytes:
    """The A-ASSOCIATE-AC: for each context of the request its result and transfer syntax."""
    pdu = A_ASSOCIATE_AC()
    pdu.protocol_version = PROTOCOL_VERSION
    pdu.reserved_aet = pdu.reserved_aec = _NOBODY
    contexts = [_answered(identifier, *result) for identifier, result in results.items()]
    pdu.variable_items = [_application_context(), *contexts, _user_information(max_pdu, roles)]
    encoded = bytearray(pdu.encode())
    encoded[6 + _AE_TITLES.start : 6 + _AE_TITLES.stop] = asked.ae_titles  # PS3.8 9.3.3: as they were sent
    return bytes(encoded)


def judge(asked: Request, *, taken: frozenset[str] | None = None) -> dict[int, tuple[int, str]]:
    """The result and transfer syntax for each proposed context: the first syntax of each is taken.

    With `taken`, of these abstract syntaxes alone. Raises `BadNegotiation` for what is no list of contexts:
    more than 128, an even ID, an ID twice.
    """
    identifiers = [context.context_id for context in asked.contexts]
    if len(identifiers) > MOST_CONTEXTS or len(set(identifiers)) < len(identifiers):
        raise BadNegotiation("More than 128 presentation contexts, or two of one ID")
    if not all(identifier % 2 for identifier in identifiers):
        raise BadNegotiation("A presentation context with an even ID")
    return {context.context_id: _judged(context, taken) for context in asked.contexts}


def _judged(context: Proposed, taken: frozenset[str] | None) -> tuple[int, str]:
    syntax = next((one for one in context.transfer_syntaxes if is_valid_uid(one)), None)
    if not is_valid_uid(context.abstract_syntax) or (
        taken is not None and context.abstract_syntax not in taken
    ):
        return ABSTRACT_SYNTAX_UNKNOWN, syntax or IMPLICIT_VR_LITTLE_ENDIAN
    if syntax is None:
        return TRANSFER_SYNTAXES_UNKNOWN, IMPLICIT_VR_LITTLE_ENDIAN
    return ACCEPTED, syntax


def _numbered(kinds: Sequence[Kind]) -> Iterator[tuple[int, Kind]]:
    """With the odd numbers that are context IDs."""
    return zip(range(1, 2 * MOST_CONTEXTS, 2), kinds, strict=False)


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if len(data) - at < _ITEM.size:
            raise BadNegotiation("It ends inside an item")
        kind, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        if length > len(data) - at:
            raise BadNegotiation("An item is longer than what holds it")
        yield kind, data[at : at + length]
        at += length


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def _read_proposed(content: bytes) -> Proposed:
    if len(content) < 4:
        raise BadNegotiation("A presentation context without an ID")
    items = list(_items(content[4:]))
    abstract = next((_text(value) for kind, value in items if kind == _ABSTRACT_SYNTAX), "")
    return Proposed(
        content[0], abstract, tuple(_text(value) for kind, value in items if kind == _TRANSFER_SYNTAX)
    )


def _context_answer(content: bytes) -> tuple[int, int, str]:
    if len(content) < 4:
        raise BadNegotiation("A presentation context without a result")
    identifier, result = content[0], content[2]
    if result != ACCEPTED:  # what else there is has no meaning then
        return identifier, result, ""
    syntax = next((_text(value) for kind, value in _items(content[4:]) if kind == _TRANSFER_SYNTAX), "")
    return identifier, result, syntax


def _read_user_information(content: bytes) -> tuple[int, str, dict[str, Role]]:
    max_pdu, implementation, roles = 0, "", dict[str, Role]()
    for kind, value in _items(content):
        if kind == _MAXIMUM_LENGTH and len(value) == 4:
            max_pdu = int.from_bytes(value, "big")
        elif kind == _VERSION_NAME or (kind == _CLASS_UID and not implementation):
            implementation = _text(value)[:64]
        elif kind == _ROLE_SELECTION and is_valid_uid(uid := _text(value[2:-2])):
            roles[uid] = Role(bool(value[-2]), bool(value[-1]))
    return max_pdu, implementation, roles


def _application_context() -> ApplicationContextItem:
    item = ApplicationContextItem()
    item.application_context_name = APPLICATION_CONTEXT
    return item


def _proposed(identifier: int, kind: Kind) -> PresentationContextItemRQ:
    abstract = AbstractSyntaxSubItem()
    abstract.abstract_syntax_name = kind.sop_class_uid
    item = PresentationContextItemRQ()
    item.presentation_context_id = identifier
    item.abstract_transfer_syntax_sub_items = [abstract, _transfer_syntax(kind.transfer_syntax_uid)]
    return item


def _answered(identifier: int, result: int, transfer_syntax: str) -> PresentationContextItemAC:
    item = PresentationContextItemAC()
    item.presentation_context_id, item.result_reason = identifier, result
    item.transfer_syntax_sub_item = [_transfer_syntax(transfer_syntax)]
    return item


def _transfer_syntax(value: str) -> TransferSyntaxSubItem:
    item = TransferSyntaxSubItem()
    item.transfer_syntax_name = value
    return item


def _user_information(max_pdu: int, roles: Mapping[str, Role]) -> UserInformationItem:
    length = MaximumLengthSubItem()
    length.maximum_length_received = max_pdu
    implementation = ImplementationClassUIDSubItem()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameSubItem()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    item = UserInformationItem()
    item.user_data = [length, implementation, *(_role(*one) for one in roles.items()), version]
    return item


def _role(sop_class_uid: str, role: Role) -> SCP_SCU_RoleSelectionSubItem:
    item = SCP_SCU_RoleSelectionSubItem()
    item.sop_class_uid = sop_class_uid
    item.scu_role, item.scp_role = int(role.scu), int(role.scp)
    return item
