"""Every sender at hand against the router's SCP: what arrives is what was sent, byte for byte."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from infra.local.orthanc import Orthanc
from infra.local.process import wait_for
from ponte.scan import Scanner, scan
from ponte_net.scu import TlsOptions
from router.listener import Endpoint
from tests import memory_intake
from tests.authority import Authority
from tests.factories import encode, make_colour, make_ct, make_report, uid
from tests.memory_intake import LOOPBACK, MemoryIntake, Served, quick, served

FILES = {
    "CT_small.dcm": "-xe",
    "MR_small_bigendian.dcm": "-xb",
    "rtplan.dcm": "-xi",
    "MR_small_RLE.dcm": "-xr",
    "JPEG2000.dcm": "-xw",
    "MR_small_jp2klossless.dcm": "-xv",
    "SC_rgb_jpeg_dcmtk.dcm": "-xy",
    "image_dfl.dcm": "-xd",
}
"""pydicom's own, and what makes `storescu` propose its syntax."""


def file_of(name: str) -> Path:
    path = get_testdata_file(name)
    assert path is not None
    return Path(path)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)


@pytest.fixture(params=[1, 2], ids=["one process", "carriers"])
def scp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(memory_intake, "PROCESSES", request.param)
    with served(**quick(handshake_s=20, idle_s=60, pdu_s=60)) as running:
        yield running


def write_series(folder: Path, count: int, series: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}.dcm" for number in range(1, count + 1)]
    for number, path in enumerate(paths, 1):
        path.write_bytes(encode(make_ct(number, series=series, StudyInstanceUID=uid("router", series))))
    return paths


def digest(dataset: bytes, syntax: str) -> str:
    padding = b"\0" if syntax == DeflatedExplicitVRLittleEndian else b""
    return hashlib.sha256(dataset.rstrip(padding) if padding else dataset).hexdigest()


def received(intake: MemoryIntake) -> list[str]:
    return sorted(digest(data, asked.transfer_syntax_uid) for asked, data in intake.kept)


def sent(*paths: Path) -> list[str]:
    found = []
    for path in paths:
        data = path.read_bytes()
        verdict = scan([data])
        found.append(digest(data[verdict.dataset_start :], str(verdict.transfer_syntax_uid)))
    return sorted(found)


@pytest.mark.dcmtk
def test_echoscu_is_answered(scp: Served) -> None:
    assert run("echoscu", "--repeat", 3, LOOPBACK, scp.port).returncode == 0
    assert run("echoscu", "--abort", LOOPBACK, scp.port).returncode == 0
    assert run("echoscu", "--propose-ts", 38, "--propose-pc", 128, LOOPBACK, scp.port).returncode == 0
    scp.settled()
    assert scp.intake.endings == ["released", "aborted", "released"]


@pytest.mark.dcmtk
@pytest.mark.parametrize("tool", ["findscu", "movescu", "getscu"])
def test_a_query_is_refused(scp: Served, tool: str) -> None:
    result = run(
        tool, "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3", LOOPBACK, scp.port
    )
    assert result.returncode != 0
    scp.settled()
    assert scp.intake.kept == []


@pytest.mark.dcmtk
@pytest.mark.parametrize("max_pdu", [4096, 16384, 131072])
def test_dcmsend_sends_a_series(scp: Served, tmp_path: Path, max_pdu: int) -> None:
    paths = write_series(tmp_path / "series", 20, series=601)
    extra = tmp_path / "series" / "report.dcm"
    extra.write_bytes(encode(make_report(1)))
    result = run("dcmsend", "--max-send-pdu", max_pdu, "+sd", LOOPBACK, scp.port, tmp_path / "series")
    assert result.returncode == 0, result.stderr
    scp.settled()
    assert received(scp.intake) == sent(*paths, extra)
    assert scp.intake.endings == ["released"]


@pytest.mark.dcmtk
@pytest.mark.parametrize(("name", "option"), FILES.items())
def test_storescu_sends_every_syntax_with_its_proposal(scp: Served, name: str, option: str) -> None:
    result = run("storescu", "-R", option, LOOPBACK, scp.port, file_of(name))
    assert result.returncode == 0, result.stderr
    scp.settled()
    ((asked, data),) = scp.intake.kept
    assert asked.transfer_syntax_uid == scan([file_of(name).read_bytes()]).transfer_syntax_uid
    scanner = Scanner(transfer_syntax_uid=asked.transfer_syntax_uid)
    scanner.feed(data)
    verdict = scanner.finish()
    assert (verdict.accepted, verdict.sop_instance_uid) == (True, asked.sop_instance_uid)


@pytest.mark.dcmtk
@pytest.mark.parametrize(
    "option",
    ["-x=", "-xe", "-xb", "-xi", "-xs", "-xy", "-xx", "-xv", "-xw", "-xt", "-xu", "-xm", "-xh", "-xn", "-xl",
     "-x2", "-x3", "-xo", "-x4", "-x5", "-xr", "-xd"],
)  # fmt: skip
def test_storescu_sends_whatever_it_proposes(scp: Served, option: str) -> None:
    """With all its contexts: the first syntax of each is taken, and it uses one of those that the file can
    have. A proposal for video alone has none."""
    result = run("storescu", option, "-pdu", 4096, LOOPBACK, scp.port, file_of("CT_small.dcm"))
    scp.settled()
    is_for_video = option in {"-xm", "-xh", "-xn", "-xl", "-x2", "-x3", "-xo", "-x4", "-x5"}
    assert (result.returncode != 0) == is_for_video == (not scp.intake.kept), result.stderr


@pytest.mark.dcmtk
def test_storescu_combines_proposals_and_repeats(scp: Served) -> None:
    command = ["storescu", "+C", "--repeat", 3, "-R", "--max-pdu", 65536, "--max-send-pdu", 8192]
    files = [file_of("CT_small.dcm"), file_of("rtplan.dcm")]
    result = run(*command, LOOPBACK, scp.port, *files)
    assert result.returncode == 0, result.stderr
    scp.settled()
    assert len(scp.intake.kept) == 6
    assert run("storescu", "--user", "somebody", "-rsp", LOOPBACK, scp.port, files[0]).returncode in (0, 1)
    assert run("storescu", "--abort", LOOPBACK, scp.port, files[0]).returncode == 0
    scp.settled()
    assert scp.intake.endings[-1] == "aborted"


@pytest.mark.dcmtk
def test_a_failure_is_the_senders_failure(scp: Served, tmp_path: Path) -> None:
    scp.intake.status = 0xA700
    result = run("dcmsend", "-v", LOOPBACK, scp.port, *write_series(tmp_path / "series", 2, series=602))
    assert "with status REFUSED  : 2" in result.stderr
    scp.intake.refuses = "disk"
    result = run("storescu", LOOPBACK, scp.port, file_of("CT_small.dcm"))
    assert result.returncode != 0
    assert "Rejected Transient" in result.stderr
    assert run("echoscu", LOOPBACK, scp.port).returncode == 0


@pytest.mark.dcmtk
def test_dcmtk_sends_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue(LOOPBACK), authority.issue("modality")
    options = TlsOptions(authority.ca_file, server.certificate_file, server.key_file, require_client=True)
    with served(endpoints=[Endpoint(0, LOOPBACK, tls=options)], **quick(handshake_s=20)) as running:
        trusting = ["+cf", authority.ca_file, "-ic"]
        certified = ["+tls", client.key_file, client.certificate_file, *trusting]
        file = file_of("CT_small.dcm")
        assert run("storescu", *certified, LOOPBACK, running.port, file).returncode == 0
        assert run("storescu", "+tla", *trusting, LOOPBACK, running.port, file).returncode != 0
        assert run("storescu", LOOPBACK, running.port, file).returncode != 0
        running.settled()
        assert len(running.intake.kept) == 1


def send(association: Association, dataset: Dataset) -> int:
    """The status of one C-STORE. pynetdicom's own thread takes the answer for a request, and throws it away,
    where it has not woken yet from the request before: it is given the time."""
    wait_for(lambda: not association._is_paused, timeout_s=20, msg="pynetdicom did not wake")
    return int(association.send_c_store(dataset).Status)


def test_pynetdicom_sends_what_it_has(scp: Served) -> None:
    """Also with roles and any length of PDUs, and several associations at once."""
    datasets = [make_ct(number, series=603) for number in range(1, 6)]
    datasets.append(make_colour(1))
    ae = AE("PYNETDICOM")
    for dataset in datasets:
        ae.add_requested_context(dataset.SOPClassUID, ExplicitVRLittleEndian)
    ae.add_requested_context(Verification)
    roles: list[Any] = [build_role(datasets[0].SOPClassUID, scu_role=True, scp_role=True)]
    associations = [ae.associate(LOOPBACK, scp.port, max_pdu=0, ext_neg=roles) for _ in range(3)]
    for association in associations:
        assert association.is_established
        assert association.send_c_echo().Status == 0
        assert [send(association, dataset) for dataset in datasets] == [0] * len(datasets)
    for association in associations:
        association.release()
    scp.settled()
    assert len(scp.intake.kept) == 3 * len(datasets)
    assert {str(asked.sop_instance_uid) for asked, _ in scp.intake.kept} == {
        str(dataset.SOPInstanceUID) for dataset in datasets
    }
    assert scp.intake.endings == ["released"] * 3


def test_pynetdicom_asks_for_storage_commitment(scp: Served) -> None:
    model, instance = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
    ae = AE("MODALITY")
    ae.add_requested_context(model, [ExplicitVRBigEndian, ExplicitVRLittleEndian])
    association = ae.associate(LOOPBACK, scp.port)
    assert association.is_established
    asked, item = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    asked.TransactionUID, asked.ReferencedSOPSequence = "1.2.3.9", [item]
    status, _ = association.send_n_action(asked, 1, model, instance)
    association.release()
    assert status.Status == 0
    assert [transaction for transaction, _ in scp.intake.commitments] == ["1.2.3.9"]


@pytest.mark.orthanc
def test_orthanc_sends_a_study(scp: Served, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "series", 10, series=604)
    with Orthanc(tmp_path / "orthanc") as orthanc, urllib3.PoolManager(retries=False) as pool:
        headers = urllib3.make_headers(basic_auth=f"{orthanc.username}:{orthanc.password}")

        def ask(method: str, path: str, body: object = None) -> urllib3.BaseHTTPResponse:
            answer = pool.request(method, f"{orthanc.url}{path}", json=body, headers=headers)
            assert answer.status == 200
            return answer

        study = {orthanc.upload(path.read_bytes()) for path in paths}.pop()
        ask("PUT", "/modalities/ponte", {"AET": "PONTE", "Host": LOOPBACK, "Port": scp.port})
        ask("POST", "/modalities/ponte/echo", {})
        ask("POST", "/modalities/ponte/store", [study])
        found = ask("GET", f"/studies/{study}/instances").json()
        stored = [ask("GET", f"/instances/{one['ID']}/file").data for one in found]
    scp.settled()
    for number, data in enumerate(stored):
        (tmp_path / f"orthanc-{number}.dcm").write_bytes(data)
    assert received(scp.intake) == sent(*tmp_path.glob("orthanc-*.dcm"))
    assert len(scp.intake.kept) == 10
