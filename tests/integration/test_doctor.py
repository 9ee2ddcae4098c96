"""The doctor at real peers: DCMTK, Orthanc, an S3 emulator, TLS of all kinds, and nobody."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from pydicom import dcmread
from typer.testing import CliRunner

from cli.main import app
from doctor import dicom
from doctor.bucket import Bucket
from doctor.marked import MARK, STUDY_UID
from doctor.plan import subjects
from infra.local.emulator import REGION, Emulator, safe_environment
from infra.local.orthanc import Orthanc
from ponte_net.association import Patience
from tests.dcmtk import AE_TITLE, dcmqrscp, storescp
from tests.factories import make_ct
from tests.stub_s3 import Fault, StubS3, serving
from tests.tls import certificate
from tests.told_scp import Conversation, told_scp
from tests.unit.doctor.found import ask, ask_one, configured, keys, states
from tests.unit.router.store import FACTS, Store


def node(port: int, ae_title: str = "DCMTK", **more: Any) -> str:
    values = {
        "kind": "dicom",
        "name": "pacs",
        "host": "127.0.0.1",
        "port": port,
        "ae_title": ae_title,
        **more,
    }
    return "destinations: " + json.dumps([{**values, **more}])


@pytest.mark.dcmtk
def test_a_peer_that_is_well_is_ok_from_name_to_read_back(tmp_path: Path) -> None:
    with dcmqrscp(tmp_path) as server:
        steps = ask_one(configured(tmp_path, node(server.port)), "pacs", stores=True)
        (kept,) = server.stored
    assert {name for name, state in states(steps).items() if state == "failed"} == set()
    assert keys(steps, "query") == ["query.there"]
    assert keys(steps, "delete") == ["delete.stays"]
    (tmp_path / "kept.dcm").write_bytes(kept)
    stored = dcmread(tmp_path / "kept.dcm")
    assert (stored.PatientID, str(stored.PatientName), stored.StudyInstanceUID) == (MARK, MARK, STUDY_UID)
    assert stored.pixel_array.shape == (16, 16)


@pytest.mark.dcmtk
def test_nothing_is_stored_where_nobody_asked_for_it(tmp_path: Path) -> None:
    with dcmqrscp(tmp_path) as server:
        steps = ask_one(configured(tmp_path, node(server.port)), "pacs")
        assert server.stored == []
    assert keys(steps, "store") == ["store.not_asked"]
    assert keys(steps, "query") == ["query.answers"]


@pytest.mark.dcmtk
def test_contexts_that_are_refused_stand_in_the_table_and_those_that_came_are_a_warning(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "root")
    assert store.send(make_ct()) == 0
    store.close()
    with storescp(tmp_path, "--prefer-uncompr", "-xf", *_profile(tmp_path)) as server:
        steps = ask_one(configured(tmp_path, node(server.port)), "pacs")
    found = steps["association"].found
    assert found.table is not None
    rows = {row.cells[:2]: row.cells[2] for row in found.table.rows}
    assert rows["Verification SOP Class", "Implicit VR Little Endian"] == "accepted"
    assert rows["CT Image Storage", "Explicit VR Little Endian"].startswith("context.")
    assert found.state == "warning"
    assert found.advice[0].key == "association.seen_advice"


def _profile(folder: Path) -> tuple[str, str]:
    """A storescp that knows Verification and MR alone."""
    path = folder / "storescp.cfg"
    path.write_text(
        "[[TransferSyntaxes]]\n[Plain]\nTransferSyntax1 = LittleEndianImplicit\n"
        "[[PresentationContexts]]\n[Few]\n"
        "PresentationContext1 = VerificationSOPClass\\Plain\n"
        "PresentationContext2 = MRImageStorage\\Plain\n"
        "[[Profiles]]\n[Default]\nPresentationContexts = Few\n"
    )
    return str(path), "Default"


def test_a_destination_that_takes_no_images_has_failed_though_it_answers(tmp_path: Path) -> None:
    def echo_alone(peer: Conversation) -> None:
        refused = dict.fromkeys(range(3, 256, 2), (3, "1.2.840.10008.1.2"))
        peer.serve(changed=refused)

    with told_scp(echo_alone) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port)), "pacs")
    assert states(steps)["association"] == "failed"
    assert keys(steps, "association") == ["association.made", "association.none_advice"]


def test_commitment_that_is_wanted_and_not_accepted_is_a_warning(tmp_path: Path) -> None:
    def no_commitment(peer: Conversation) -> None:
        peer.serve(changed={5: (3, "1.2.840.10008.1.2")})

    with told_scp(no_commitment) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port, commitment=True)), "pacs")
    assert keys(steps, "association") == ["association.made", "association.commitment_advice"]
    assert states(steps)["association"] == "warning"


@pytest.mark.dcmtk
def test_a_wrong_called_ae_title_is_said_in_words(tmp_path: Path) -> None:
    with dcmqrscp(tmp_path) as server:
        steps = ask_one(configured(tmp_path, node(server.port, ae_title="NOT_THERE")), "pacs")
    assert keys(steps, "association") == ["association.called", "association.called_advice"]
    assert "NOT_THERE" in steps["association"].found.said[0].text("pt-BR")
    assert states(steps)["echo"] == "skipped"


def test_a_calling_ae_title_that_is_not_known_is_said_in_words(tmp_path: Path) -> None:
    def refuse(peer: Conversation) -> None:
        peer.request()
        peer.wire.send([b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x03"])

    with told_scp(refuse) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port, calling_ae_title="OURS")), "pacs")
    assert keys(steps, "association") == ["association.calling", "association.calling_advice"]
    assert "OURS" in steps["association"].found.advice[0].text("en")


def test_a_refused_object_is_told_with_its_status(tmp_path: Path) -> None:
    with told_scp(lambda peer: peer.serve(0xA700) and None) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port)), "pacs", stores=True)
    assert keys(steps, "store") == ["store.refused", "store.full_advice"]
    assert "A700H" in steps["store"].found.said[0].text("en")
    assert states(steps)["delete"] == "skipped"


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_hangs_fails_in_time_and_the_others_are_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom, "_PATIENCE", Patience(1, 0.3, 0.3))
    with silent() as port, told_scp(lambda peer: peer.serve() and None) as scp:
        both = [
            {"kind": "dicom", "name": name, "host": "127.0.0.1", "port": at, "ae_title": "X"}
            for name, at in (("hangs", port), ("well", scp.port))
        ]
        config = configured(tmp_path, "destinations: " + json.dumps(both))
        found = ask(subjects(config, ["hangs", "well"]))
    assert keys(found["hangs"], "association") == ["association.silent", "association.silent_advice"]
    assert states(found["hangs"])["tcp"] == "ok"
    assert states(found["well"])["echo"] == "ok"


def test_a_name_that_does_not_resolve_and_a_port_nobody_has(tmp_path: Path) -> None:
    steps = ask_one(configured(tmp_path, node(104, host="no-such-host.invalid")), "pacs")
    assert keys(steps, "dns") == ["dns.unknown", "dns.advice"]
    assert set(states(steps).values()) == {"failed", "skipped"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    steps = ask_one(configured(tmp_path, node(port)), "pacs")
    assert keys(steps, "tcp") == ["tcp.refused", "tcp.refused_advice"]


def test_who_does_not_speak_dicom_and_who_speaks_tls_are_told_apart(tmp_path: Path) -> None:
    def http(peer: Conversation) -> None:
        peer.wire.socket.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with told_scp(http) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port)), "pacs")
    assert keys(steps, "association")[0] == "association.not_dicom"
    with told_scp(lambda peer: None, tls=certificate(tmp_path)) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port)), "pacs")
    assert keys(steps, "association")[0] == "association.speaks_tls"


_SHOWN = ["tls.certificate", "tls.names"]


@pytest.mark.parametrize(
    ("made", "trusted", "expected"),
    [
        ({"days": 300}, True, ["tls.modern", "tls.verified", "tls.certificate"]),
        ({"days": 5}, True, ["tls.modern", "tls.verified", "tls.certificate", "tls.soon_advice"]),
        ({"days": -2}, True, ["tls.expired", "tls.certificate_over", "tls.names", "tls.expired_advice"]),
        ({"host": "192.0.2.7"}, True, ["tls.wrong_name", *_SHOWN, "tls.wrong_name_advice"]),
        ({}, False, ["tls.self_signed", *_SHOWN, "tls.self_signed_advice"]),
    ],
    ids=["good", "soon", "expired", "wrong-name", "self-signed"],
)
def test_what_is_wrong_with_a_certificate(
    made: dict[str, Any], trusted: bool, expected: list[str], tmp_path: Path
) -> None:
    context = certificate(tmp_path, **made)
    more: dict[str, Any] = {"tls": True, **({"ca_file": str(tmp_path / "cert.pem")} if trusted else {})}
    with told_scp(lambda peer: peer.serve() and None, tls=context) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port, **more)), "pacs")
    assert keys(steps, "tls") == expected
    well = "tls.verified" in expected
    assert states(steps)["association"] == ("ok" if well else "skipped")


def test_a_plain_port_where_tls_is_configured(tmp_path: Path) -> None:
    with told_scp(lambda peer: None) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port, tls=True)), "pacs")
    assert keys(steps, "tls")[-1] == "tls.plain_advice"


def test_an_old_tls_is_refused(tmp_path: Path) -> None:
    context = certificate(tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    more: dict[str, Any] = {"tls": True, "ca_file": str(tmp_path / "cert.pem")}
    with told_scp(lambda peer: None, tls=context) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port, **more)), "pacs")
    assert states(steps)["tls"] == "failed"


def test_a_peer_that_wants_a_certificate_of_ours_is_told_apart(tmp_path: Path) -> None:
    context = certificate(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "cert.pem")
    more: dict[str, Any] = {"tls": True, "ca_file": str(tmp_path / "cert.pem")}
    with told_scp(lambda peer: peer.serve() and None, tls=context) as scp:
        steps = ask_one(configured(tmp_path, node(scp.port, **more)), "pacs")
        ours = {"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
        well = ask_one(configured(tmp_path, node(scp.port, **more, **ours)), "pacs")
    assert keys(steps, "association") == ["association.tls", "association.tls_advice"]
    assert states(well)["echo"] == "ok"


def orthanc_of(orthanc: Orthanc, kind: str, **changes: Any) -> str:
    values = {
        "kind": kind, "name": "web", "username": orthanc.username, "password": orthanc.password,
        "url": orthanc.dicomweb_url if kind == "dicomweb" else orthanc.url, **changes,
    }  # fmt: skip
    return "destinations: " + json.dumps([values])


@pytest.mark.orthanc
def test_an_orthanc_from_name_to_read_back_and_what_is_wrong_with_the_others(tmp_path: Path) -> None:
    with Orthanc(tmp_path / "orthanc") as orthanc:
        for kind in ("dicomweb", "orthanc"):
            steps = ask_one(configured(tmp_path, orthanc_of(orthanc, kind)), "web", stores=True)
            assert keys(steps, "query") == ["query.there"], kind
            assert states(steps)["clock"] == "ok" or keys(steps, "clock") == ["clock.no_date"]
            assert {name for name, state in states(steps).items() if state == "failed"} == set()
        assert keys(steps, "delete") == ["delete.stays"]
        steps = ask_one(configured(tmp_path, orthanc_of(orthanc, "orthanc")), "web")
        assert keys(steps, "query") == ["query.nothing"]
        wrong = configured(tmp_path, orthanc_of(orthanc, "dicomweb", password="no"))
        assert keys(ask_one(wrong, "web"), "web")[0] == "web.denied"
        wrong = configured(tmp_path, orthanc_of(orthanc, "dicomweb", url=f"{orthanc.url}/nothing"))
        assert keys(ask_one(wrong, "web"), "web")[0] == "web.not_found"


def s3(url: str, bucket: str = "inbox-of-test") -> str:
    return "destinations: " + json.dumps(
        [{"kind": "s3", "name": "cloud", "bucket": bucket, "region": REGION, "endpoint_url": url}]
    )


def test_a_bucket_is_asked_and_nothing_is_left_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in safe_environment({}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    (tmp_path / "emulator").mkdir()
    with Emulator(tmp_path / "emulator") as emulator:
        client = boto3.client("s3", endpoint_url=emulator.endpoint_url, region_name=REGION)
        client.create_bucket(Bucket="inbox-of-test")
        steps = ask_one(configured(tmp_path, s3(emulator.endpoint_url)), "cloud")
        assert {name for name, state in states(steps).items() if state == "failed"} == set()
        assert keys(steps, "put") == ["put.allowed"]
        assert client.list_objects_v2(Bucket="inbox-of-test").get("KeyCount") == 0
        assert not client.list_multipart_uploads(Bucket="inbox-of-test").get("Uploads")
        steps = ask_one(configured(tmp_path, s3(emulator.endpoint_url, "no-such-bucket")), "cloud")
        assert keys(steps, "bucket") == ["bucket.none", "bucket.none_advice"]


@pytest.mark.parametrize(
    ("status", "code", "key"),
    [
        (403, "AccessDenied", "bucket.denied"),
        (403, "InvalidAccessKeyId", "credentials.wrong"),
        (403, "RequestTimeTooSkewed", "clock.skewed"),
        (400, "AuthorizationHeaderMalformed", "bucket.elsewhere"),
    ],
)
def test_what_a_bucket_denies_has_its_own_words(
    status: int, code: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in safe_environment({}).items():
        monkeypatch.setenv(name, value)
    with serving(StubS3()) as stub:
        stub.fail = lambda _: Fault(status, code)
        steps = ask_one(configured(tmp_path, s3(stub.url)), "cloud")
    assert keys(steps, "bucket") == [key, f"{key}_advice"]
    assert states(steps)["put"] == "skipped"


def test_an_upload_that_cannot_be_undone_is_said(tmp_path: Path) -> None:
    class Client:
        def create_multipart_upload(self, **_: str) -> dict[str, str]:
            return {"UploadId": "u"}

        def abort_multipart_upload(self, **_: str) -> None:
            answer: Any = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, "AbortMultipartUpload")

    (inbox,) = configured(tmp_path, s3("http://127.0.0.1:9")).destinations
    bucket = Bucket(inbox)
    bucket._client = Client()  # type: ignore[assignment]
    found = bucket.put()
    assert (found.state, found.said[0].key, found.advice[0].key) == (
        "warning",
        "put.begun",
        "put.begun_advice",
    )


def test_without_credentials_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in safe_environment({}).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with silent() as port:
        steps = ask_one(configured(tmp_path, s3(f"http://127.0.0.1:{port}")), "cloud")
    assert keys(steps, "credentials") == ["credentials.none", "credentials.none_advice"]


def test_modalities_are_asked_little_and_stored_to_where_it_is_allowed(tmp_path: Path) -> None:
    with told_scp(lambda peer: peer.serve() and None) as scp:
        ours = [
            {"name": "CT 1", "ae_title": "CT1", "host": "127.0.0.1", "port": scp.port},
            {"name": "CT 2", "ae_title": "CT2", "host": "127.0.0.1", "port": scp.port, "test_store": True},
        ]
        config = configured(tmp_path, "modalities: " + json.dumps(ours))
        found = ask(subjects(config, ["CT 1", "CT 2"], stores=True))
        assert max(len(one.asked.contexts) for one in scp.conversations if one.asked) == 3
    assert keys(found["CT 1"], "store") == ["store.not_allowed"]
    assert keys(found["CT 2"], "store") == ["store.taken"]
    assert "query" not in found["CT 1"]


def test_who_sent_and_has_no_entry_is_shown_with_what_cannot_be_asked(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    store.committer.run(lambda database: database.open_association(FACTS))
    assert store.send(make_ct()) == 0
    store.close()
    chosen = subjects(configured(tmp_path, ""), [f"{FACTS.calling_ae_title}@{FACTS.address}"])
    chosen = [
        type(chosen[0])(chosen[0].kind, "seen", "", tuple(c for c in chosen[0].checks if c.name != "ping"))
    ]
    steps = ask(chosen)["seen"]
    assert states(steps) == {"seen": "ok", "dns": "ok", "tcp": "skipped"}
    assert keys(steps, "tcp") == ["seen.no_port", "seen.advice"]


@pytest.mark.dcmtk
def test_the_command_says_it_to_people_and_to_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with dcmqrscp(tmp_path) as server:
        configured(tmp_path, node(server.port))
        arguments = ["doctor", "pacs", "--config", "doctor.yaml"]
        said = CliRunner().invoke(app, [*arguments, "--language", "pt-BR"])
        assert said.exit_code == 0
        assert "ok       pacs: C-ECHO: C-ECHO respondido" in said.stdout
        shown = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
        assert shown["ok"] is True
        assert [step["name"] for step in shown["subjects"][0]["steps"]][:3] == ["dns", "ping", "tcp"]
        address = CliRunner().invoke(app, ["doctor", f"dicom://{AE_TITLE}@127.0.0.1:{server.port}"])
        assert address.exit_code == 0
    broken = CliRunner().invoke(app, arguments)
    assert broken.exit_code == 1
    assert "FAILED   pacs: TCP port" in broken.stdout
    unknown = CliRunner().invoke(app, ["doctor", "nobody", "--config", "doctor.yaml"])
    assert unknown.exit_code != 0
    assert "nobody is neither" in str(unknown.exception)
