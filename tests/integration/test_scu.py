"""The C-STORE SCU against DCMTK's servers, Orthanc and pynetdicom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from infra.local.orthanc import Orthanc
from infra.local.process import free_port
from ponte.destination import Outcome, Outgoing
from ponte.errors import DestinationRefused, DestinationUnavailable
from ponte.scan import scan
from ponte_net.contexts import Kind
from ponte_net.scu import Peer, Scu, ScuLimits, TlsOptions
from tests.authority import Authority
from tests.dcmtk import AE_TITLE, Server, dcmqrscp, storescp
from tests.factories import encode, make_colour, make_ct, make_report, uid

FILES = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "image_dfl.dcm",
    "rtplan.dcm",
    "waveform_ecg.dcm",
)
QUICK = ScuLimits(retries=1, backoff_s=0.01)


def bundled(name: str) -> bytes:
    path = get_testdata_file(name)
    assert path is not None
    return Path(path).read_bytes()


def outgoing(data: bytes) -> Outgoing:
    verdict = scan([data])
    assert verdict.sop_instance_uid is not None
    assert verdict.sop_class_uid is not None
    assert verdict.transfer_syntax_uid is not None
    assert verdict.dataset_start is not None
    return Outgoing(
        verdict.sop_instance_uid,
        data,
        verdict.sop_class_uid,
        verdict.transfer_syntax_uid,
        verdict.dataset_start,
    )


def some(count: int, series: int, **attributes: Any) -> list[Outgoing]:
    study = uid("scu", series)
    return [
        outgoing(encode(make_ct(number, series=series, StudyInstanceUID=study, **attributes)))
        for number in range(1, count + 1)
    ]


def digests(files: Sequence[bytes]) -> list[str]:
    """Of the datasets, without the byte after the end that a deflated one has on the wire (PS3.5 A.5)."""
    found = []
    for data in files:
        verdict = scan([data])
        deflated = verdict.transfer_syntax_uid == DeflatedExplicitVRLittleEndian
        found.append(
            hashlib.sha256(data[verdict.dataset_start :].rstrip(b"\0" if deflated else b"")).hexdigest()
        )
    return sorted(found)


def contents(instances: Sequence[Outgoing]) -> list[bytes]:
    return [one.content for one in instances if isinstance(one.content, bytes)]


def scu_of(port: int, ae_title: str = AE_TITLE, **options: Any) -> Scu:
    return Scu(Peer("127.0.0.1", port, ae_title), **{"limits": QUICK, **options})


def stored(instances: Sequence[Outgoing]) -> list[Outcome]:
    return [Outcome(one.sop_instance_uid, "stored") for one in instances]


@pytest.mark.dcmtk
@pytest.mark.parametrize("max_pdu", [4096, 16384, 131072])
def test_every_kind_of_file_arrives_at_storescp_byte_for_byte(tmp_path: Path, max_pdu: int) -> None:
    sent = [outgoing(bundled(name)) for name in FILES]
    with storescp(tmp_path, "+xa", "-pm", "-pdu", str(max_pdu)) as server:
        scu = scu_of(server.port, max_pdu=max_pdu)
        scu.check()
        assert list(scu.store(sent)) == stored(sent)
        assert digests(server.stored) == digests(contents(sent))


@pytest.mark.dcmtk
def test_what_it_does_not_accept_is_refused_and_the_others_arrive(tmp_path: Path) -> None:
    """FI-14: an SCP without compressed syntaxes."""
    sent = [outgoing(bundled(name)) for name in FILES]
    with storescp(tmp_path) as server:
        outcomes = list(scu_of(server.port).store(sent))
        assert [outcome.stored for outcome in outcomes] == [True, False, False, False, True, True]
        assert {outcome.status for outcome in outcomes} == {"stored", "refused"}
        assert digests(server.stored) == digests(contents([sent[0], sent[4], sent[5]]))
        echoed = scu_of(server.port).echo(
            [Kind(one.sop_class_uid, one.transfer_syntax_uid) for one in sent[:2]]
        )
        assert list(echoed.contexts.values()) == [None, "transfer syntax not supported"]


@pytest.mark.dcmtk
@pytest.mark.parametrize("max_pdu", [4096, 65536])
def test_an_archive_of_dcmqrscp_has_them_all(tmp_path: Path, max_pdu: int) -> None:
    sent = [*some(20, series=501), outgoing(encode(make_report(1))), outgoing(encode(make_colour(2)))]
    port = free_port()
    with dcmqrscp(tmp_path, max_pdu=max_pdu) as server:
        scu = scu_of(server.port, local_port=port)
        scu.check()
        for _ in range(2):  # from the same port, at once
            assert list(scu.store(sent)) == stored(sent)
        assert digests(server.stored) == digests(contents(sent))
        with pytest.raises(DestinationRefused, match="called AE title not recognised"):
            scu_of(server.port, "NOBODY").check()


@pytest.mark.dcmtk
@pytest.mark.parametrize("option", ["--abort-after", "--abort-during"])
def test_a_peer_that_aborts_leaves_nothing_that_counts_as_stored(tmp_path: Path, option: str) -> None:
    """FI-13."""
    with storescp(tmp_path, option) as server:
        scu = scu_of(server.port)
        scu.check()
        outcomes = []
        with pytest.raises(DestinationUnavailable):
            outcomes += list(scu.store(some(3, series=502, size=1024)))
        assert outcomes == []


@pytest.mark.dcmtk
def test_a_peer_that_refuses_is_said_to_refuse(tmp_path: Path) -> None:
    """FI-13."""
    with storescp(tmp_path, "--refuse") as server, pytest.raises(DestinationRefused, match="no reason given"):
        list(scu_of(server.port).store(some(1, series=503)))


@pytest.mark.dcmtk
def test_a_full_disk_of_the_peers_is_something_to_come_back_for(tmp_path: Path) -> None:
    """FI-13: 0xA700, from a folder that storescp cannot write to."""
    with storescp(tmp_path, "--output-directory", "/proc/self/fd") as server:
        first, second = scu_of(server.port).store(some(2, series=504))
    assert (first.status, first.reason, first.retryable) == ("refused", 0xA700, True)
    assert second.retryable


@pytest.mark.dcmtk
def test_a_peer_without_tcp_nodelay_is_not_waited_for_at_each_image(tmp_path: Path) -> None:
    """Its second small write waits for our acknowledgement; with ours at once it waits for nothing."""
    sent = some(100, series=505)
    with storescp(tmp_path) as server:
        echoed = scu_of(server.port).echo()
        assert list(scu_of(server.port).store(sent)) == stored(sent)
    assert echoed.seconds < 5  # hang guard; the figures are in docs/performance.md


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Iterator[Server]:
    """`storescp` that asks for a certificate of our authority."""
    server = authority.issue("127.0.0.1")
    options = ["+tls", str(server.key_file), str(server.certificate_file), "+cf", str(authority.ca_file)]
    with storescp(tmp_path, *options) as running:
        yield running


@pytest.mark.dcmtk
def test_tls_with_certificates_on_both_sides(secure: Server, authority: Authority) -> None:
    ours = authority.issue("ponte")
    options = TlsOptions(authority.ca_file, ours.certificate_file, ours.key_file)
    sent = some(5, series=506, size=1024)
    scu = scu_of(secure.port, tls_options=options)
    scu.check()
    assert list(scu.store(sent)) == stored(sent)
    assert digests(secure.stored) == digests(contents(sent))


@pytest.mark.dcmtk
def test_tls_that_fails_is_refused_by_name(secure: Server, authority: Authority, tmp_path: Path) -> None:
    ours = authority.issue("ponte")
    known = TlsOptions(authority.ca_file, ours.certificate_file, ours.key_file)
    for options in (replace(known, ca_file=None), replace(known, server_name="pacs.example")):
        with pytest.raises(DestinationRefused, match="not trusted"):
            scu_of(secure.port, tls_options=options).check()
    with pytest.raises((DestinationRefused, DestinationUnavailable)):
        scu_of(secure.port, tls_options=TlsOptions(authority.ca_file)).check()  # without a certificate
    with pytest.raises((DestinationRefused, DestinationUnavailable)):
        scu_of(secure.port).check()  # without TLS


@pytest.mark.orthanc
def test_orthanc_keeps_what_it_was_sent(tmp_path: Path) -> None:
    """Some datasets it writes anew, with other lengths of sequences; those of the series it keeps."""
    series = some(10, series=507)
    sent = series + [outgoing(bundled(name)) for name in FILES]
    with Orthanc(tmp_path / "orthanc", dimse=True) as orthanc:
        scu = scu_of(orthanc.dicom_port, "ORTHANC")
        scu.check()
        assert list(scu.store(sent)) == stored(sent)
        kept = [path for path in (tmp_path / "orthanc" / "storage").rglob("*") if path.is_file()]
        found = [path.read_bytes() for path in kept]
    assert set(digests(found)) >= set(digests(contents(series)))
    uids = {scan([data]).sop_instance_uid for data in found}
    assert uids >= {one.sop_instance_uid for one in sent}


def test_pynetdicom_receives_the_datasets_as_they_are() -> None:
    """With every transfer syntax and PDUs of any length."""
    sent = [outgoing(bundled(name)) for name in FILES]
    received: dict[str, bytes] = {}

    def keep(event: Event) -> int:
        assert isinstance(event.request, C_STORE)
        received[str(event.request.AffectedSOPInstanceUID)] = event.encoded_dataset(include_meta=False)
        return 0xB000 if event.request.AffectedSOPClassUID == sent[0].sop_class_uid else 0

    ae = AE()
    ae.maximum_pdu_size = 0
    for one in sent:
        ae.add_supported_context(one.sop_class_uid, one.transfer_syntax_uid)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    assert server is not None
    try:
        outcomes = list(scu_of(server.server_address[1], max_pdu=0).store(sent))
    finally:
        server.shutdown()
    assert [outcome.status for outcome in outcomes] == ["stored_with_warning"] + ["stored"] * (len(sent) - 1)
    for one in sent:
        assert isinstance(one.content, bytes)
        padding = b"\0" * (one.dataset_bytes % 2)
        assert received[one.sop_instance_uid] == one.content[one.dataset_start :] + padding
