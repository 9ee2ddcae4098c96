"""A-ASSOCIATE PDUs, against pynetdicom's."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID
from pynetdicom import AE, build_context
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext

from ponte.filemeta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from ponte_net import negotiation
from ponte_net.contexts import Kind
from ponte_net.negotiation import BadNegotiation, Role

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT, J2K = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"
KINDS = [Kind(CT, EXPLICIT), Kind(CT, J2K), Kind(MR, IMPLICIT)]


def asked(*contexts: PresentationContext, **fields: object) -> bytes:
    """The body of a request as pynetdicom makes it, with every kind of further negotiation."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = negotiation.APPLICATION_CONTEXT
    primitive.calling_ae_title, primitive.called_ae_title = "MODALITY", "PONTE"
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = list(contexts)
    length, uid, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = 28672
    uid.implementation_class_uid = "1.2.3.4"
    version.implementation_version_name = "TESTER"
    role, window, extended, user = (
        SCP_SCU_RoleSelectionNegotiation(),
        AsynchronousOperationsWindowNegotiation(),
        SOPClassExtendedNegotiation(),
        UserIdentityNegotiation(),
    )
    role.sop_class_uid, role.scu_role, role.scp_role = CT, True, True
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 5
    extended.sop_class_uid, extended.service_class_application_information = CT, b"\2\0\3\0\1\0"
    user.user_identity_type, user.primary_field = 1, b"somebody"
    primitive.user_information = [length, uid, version, role, window, extended, user]
    return A_ASSOCIATE_RQ(primitive).encode()[6:]


def test_our_request_is_what_pynetdicom_reads() -> None:
    encoded = negotiation.request(
        calling="PONTE", called="PACS", kinds=KINDS, max_pdu=131072, roles={CT: Role(False, True)}
    )
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(encoded)
    assert (pdu.calling_ae_title, pdu.called_ae_title, pdu.protocol_version) == ("PONTE", "PACS", 1)
    read = [(c.context_id, c.abstract_syntax, c.transfer_syntax) for c in pdu.presentation_context]
    assert read == [(1, CT, [EXPLICIT]), (3, CT, [J2K]), (5, MR, [IMPLICIT])]
    user = pdu.user_information
    assert user is not None
    assert user.maximum_length == 131072
    assert user.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert user.role_selection[UID(CT)].scp == 1
    assert len(encoded) == len(pdu)


def test_a_request_of_pynetdicom_is_read() -> None:
    read = negotiation.read_request(asked(build_context(CT, [EXPLICIT, J2K]), build_context(MR, IMPLICIT)))
    assert (read.calling_ae_title, read.called_ae_title) == ("MODALITY", "PONTE")
    assert read.application_context == negotiation.APPLICATION_CONTEXT
    assert [(c.context_id, c.abstract_syntax, c.transfer_syntaxes) for c in read.contexts] == [
        (1, CT, (EXPLICIT, J2K)),
        (3, MR, (IMPLICIT,)),
    ]
    assert (read.max_pdu, read.implementation) == (28672, "TESTER")
    assert read.roles == {CT: Role(True, True)}


def test_our_acceptance_is_what_pynetdicom_reads_and_we_do() -> None:
    read = negotiation.read_request(asked(build_context(CT, [EXPLICIT]), build_context(MR, [IMPLICIT])))
    results = {1: (negotiation.ACCEPTED, EXPLICIT), 3: (negotiation.TRANSFER_SYNTAXES_UNKNOWN, IMPLICIT)}
    encoded = negotiation.accept(read, results, max_pdu=0, roles={CT: Role(True, False)})
    pdu = A_ASSOCIATE_AC()
    pdu.decode(encoded)
    assert [(c.context_id, c.result) for c in pdu.presentation_context] == [(1, 0), (3, 4)]
    assert (pdu.called_ae_title, pdu.calling_ae_title) == ("PONTE", "MODALITY")
    assert pdu.user_information is not None
    assert pdu.user_information.maximum_length == 0
    answered = negotiation.read_answer(encoded[6:], [Kind(CT, EXPLICIT), Kind(MR, IMPLICIT)])
    assert answered.contexts == {Kind(CT, EXPLICIT): 1}
    assert answered.rejected == {Kind(MR, IMPLICIT): "transfer syntax not supported"}
    assert answered.implementation == IMPLEMENTATION_VERSION_NAME


def test_an_answer_with_a_syntax_that_was_not_proposed_is_no_acceptance() -> None:
    read = negotiation.read_request(asked(build_context(CT, [EXPLICIT, J2K])))
    encoded = negotiation.accept(read, {1: (negotiation.ACCEPTED, J2K)}, max_pdu=16384, roles={})
    answered = negotiation.read_answer(encoded[6:], [Kind(CT, EXPLICIT), Kind(MR, EXPLICIT)])
    assert answered.contexts == {}
    assert answered.rejected == {
        Kind(CT, EXPLICIT): "with a syntax that was not proposed",
        Kind(MR, EXPLICIT): "no reason given",  # it was not answered at all
    }


def test_what_the_standard_does_not_know_is_passed_over() -> None:
    """PS3.8 9.3.1: also in the user information, where pynetdicom's reader fails."""
    body = asked(build_context(CT, EXPLICIT))
    unknown = b"\x7e\0\0\3abc"
    at = body.index(b"\x50\0")
    length = int.from_bytes(body[at + 2 : at + 4], "big") + len(unknown)
    changed = (
        body[:68] + unknown + body[68:at] + b"\x50\0" + length.to_bytes(2, "big") + unknown + body[at + 4 :]
    )
    assert negotiation.read_request(changed) == negotiation.read_request(body)


def test_ae_titles_are_taken_as_they_come_and_given_back() -> None:
    body = bytearray(asked(build_context(CT, EXPLICIT)))
    body[4:36] = b"\x01bad\\title\xff".ljust(32)
    read = negotiation.read_request(bytes(body))
    assert read.calling_ae_title == ""
    encoded = negotiation.accept(read, negotiation.judge(read), max_pdu=16384, roles={})
    assert encoded[10:42] == bytes(body[4:36])


@pytest.mark.parametrize("identifiers", [[2], [1, 1], [1, 3, 4], [*range(1, 256, 2), 1]])
def test_contexts_that_cannot_be_told_apart_are_refused(identifiers: list[int]) -> None:
    """NET-09."""
    contexts = tuple(negotiation.Proposed(identifier, CT, (EXPLICIT,)) for identifier in identifiers)
    read = negotiation.read_request(asked(build_context(CT, EXPLICIT)))
    with pytest.raises(BadNegotiation):
        negotiation.judge(
            negotiation.Request(
                **{name: getattr(read, name) for name in read.__dataclass_fields__ if name != "contexts"},
                contexts=contexts,
            )
        )


def test_the_first_syntax_is_taken_and_what_is_no_uid_is_not() -> None:
    contexts = [
        negotiation.Proposed(1, "1.3.6.1.4.1.9999.7", (J2K, EXPLICIT)),  # a private class
        negotiation.Proposed(3, "no uid", (EXPLICIT,)),
        negotiation.Proposed(5, CT, ()),
        negotiation.Proposed(7, MR, ("../../x", IMPLICIT)),
    ]
    read = negotiation.read_request(asked(build_context(CT, EXPLICIT)))
    fields = {name: getattr(read, name) for name in read.__dataclass_fields__ if name != "contexts"}
    request = negotiation.Request(**fields, contexts=tuple(contexts))
    assert negotiation.judge(request) == {
        1: (negotiation.ACCEPTED, J2K),
        3: (negotiation.ABSTRACT_SYNTAX_UNKNOWN, EXPLICIT),
        5: (negotiation.TRANSFER_SYNTAXES_UNKNOWN, IMPLICIT),
        7: (negotiation.ACCEPTED, IMPLICIT),
    }
    assert negotiation.judge(request, taken=frozenset({CT}))[1][0] == negotiation.ABSTRACT_SYNTAX_UNKNOWN


@settings(deadline=None)
@given(
    cut=st.integers(0, 400), changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)
)
def test_a_damaged_request_is_read_or_refused_and_nothing_else(
    cut: int, changes: list[tuple[int, int]]
) -> None:
    body = bytearray(asked(build_context(CT, EXPLICIT)))
    for place, value in changes:
        body[place % len(body)] = value
    with suppress(BadNegotiation):
        read = negotiation.read_request(bytes(body[: len(body) - cut % len(body)]))
        negotiation.accept(read, negotiation.judge(read), max_pdu=16384, roles=read.roles)


def test_an_ae_of_pynetdicom_proposes_what_we_read() -> None:
    """128 contexts, as many as there may be."""
    ae = AE()
    for number in range(128):
        ae.add_requested_context(f"1.2.3.{number + 1}", [EXPLICIT, IMPLICIT])
    read = negotiation.read_request(asked(*ae.requested_contexts))
    assert len(negotiation.judge(read)) == 128
