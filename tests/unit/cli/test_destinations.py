"""What DESTINATION may be on the command line and in a configuration, and what of it is never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.destinations import DicomNode, open_destination, open_inbox, read_node, shown
from ponte.errors import InvalidRequest
from ponte.orthanc import OrthancDestination
from ponte.stow import StowDestination
from tests.stub_pacs import Answer, stub_pacs

SECRET = "s3gredo"


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("dicom://ORTHANC@pacs:4242", DicomNode("pacs", 4242, "ORTHANC")),
        ("dicom://ORTHANC@pacs", DicomNode("pacs", 104, "ORTHANC")),
        ("dicom://ME@ORTHANC@pacs:4242", DicomNode("pacs", 4242, "ORTHANC", "ME")),
        ("dicom://A@pacs:1/?calling=ME", DicomNode("pacs", 1, "A", "ME")),
        ("dicom://MY%20PACS@[::1]:4242", DicomNode("::1", 4242, "MY PACS")),
        (
            "dicom://A@h:1?max_pdu=16384&local_port=4011&batch=10&tls=true&ca=/ca.pem&cert=/c.pem&key=/k.pem",
            DicomNode(
                "h", 1, "A", max_pdu=16384, local_port=4011, batch=10, tls=True,
                ca_file=Path("/ca.pem"), cert_file=Path("/c.pem"), key_file=Path("/k.pem"),
            ),
        ),
    ],
)  # fmt: skip
def test_a_dicom_address_names_a_node(text: str, node: DicomNode) -> None:
    assert read_node(text) == node


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no host"),
        ("pacs:4242", "no host"),
        ("/tmp/folder", "no host"),
        ("ftp://pacs/x", "is no destination"),
        ("orthanc://pacs:8042", "is no destination"),
        ("x+http://pacs:8042", "is no destination"),
        ("orthanc+ftp://pacs:8042", "is no destination"),
        ("dicom://pacs:4242", "no DICOM node"),
        ("dicom://A@pacs:4242/path", "no DICOM node"),
        ("dicom://A:pw@pacs:4242", "no DICOM node"),
        ("dicom://A@pacs:0", "port"),
        ("dicom://A@pacs:70000", "no address"),
        ("dicom://A@pacs:x", "no address"),
        ("dicom://SEVENTEENLETTERSX@pacs:4242", "called AE title"),
        ("dicom://A%5CB@pacs:4242", "called AE title"),
        ("dicom://A@pacs:4242?calling=%C3%A7", "calling AE title"),
        ("dicom://ME@A@pacs:4242?calling=ME", "twice"),
        ("dicom://A@pacs:4242?max_pdu=1", "max_pdu"),
        ("dicom://A@pacs:4242?max_pdu=99999999999999", "max_pdu"),
        ("dicom://A@pacs:4242?local_port=-1", "local_port"),
        ("dicom://A@pacs:4242?tls=maybe", "tls"),
        ("dicom://A@pacs:4242?speed=9", "unknown options: speed"),
        ("dicom://A@pacs:4242?tls=1&tls=0", "twice"),
        ("https://pacs/dicom-web?x=1", "nothing may follow"),
        ("https://pacs/dicom-web\n", "no host"),
    ],
)
def test_what_is_no_destination_is_refused_by_name(text: str, word: str) -> None:
    with pytest.raises(InvalidRequest, match=word):
        open_destination(text, environ={})


def asked_with(text: str, **environ: str) -> str | None:
    """The credentials with which the destination asks."""
    with stub_pacs() as stub:
        stub.routes["/x/system"] = Answer(200, b'{"Version": "1"}')
        stub.routes["/x/studies"] = Answer(200)
        open_destination(text.format(stub.url.removeprefix("http://")), environ=environ).check()
        return stub.asked[0].headers.get("authorization")


@pytest.mark.parametrize("scheme", ["http", "orthanc+http"])
@pytest.mark.parametrize("way", ["address", "variable", "file"])
def test_the_password_is_found_wherever_it_is(scheme: str, way: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    environ, user = {
        "address": ({}, f"ponte:{SECRET}"),
        "variable": ({"PONTE_DESTINATION_PASSWORD": SECRET}, "ponte"),
        "file": ({"PONTE_DESTINATION_PASSWORD_FILE": str(tmp_path / "secret")}, "ponte"),
    }[way]
    assert asked_with(f"{scheme}://{user}@{{}}/x", **environ) == "Basic cG9udGU6czNncmVkbw=="


def test_nobody_in_the_address_means_no_credentials() -> None:
    assert asked_with("orthanc+http://{}/x", PONTE_DESTINATION_PASSWORD=SECRET) is None


def test_a_user_without_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="PONTE_DESTINATION_PASSWORD"):
        open_destination("http://ponte@pacs/x", environ={})
    missing = str(tmp_path / "missing")
    with pytest.raises(InvalidRequest, match="PONTE_DESTINATION_PASSWORD_FILE"):
        open_destination("http://ponte@pacs/x", environ={"PONTE_DESTINATION_PASSWORD_FILE": missing})


def test_a_file_of_credentials_is_for_http_without_a_user(tmp_path: Path) -> None:
    auth = tmp_path / "auth.json"
    auth.write_text('{"type": "bearer", "token": "x"}')
    assert isinstance(open_destination("https://pacs/dicom-web", auth_file=auth), StowDestination)
    assert isinstance(open_destination("orthanc+https://pacs", auth_file=auth), OrthancDestination)
    for text in ("dicom://A@pacs:1", "https://ponte@pacs/dicom-web"):
        with pytest.raises(InvalidRequest, match="credentials"):
            open_destination(text, auth_file=auth, environ={})


@pytest.mark.parametrize(
    "text",
    [
        f"ftp://user:{SECRET}@pacs/x",
        f"http://user:{SECRET}@pacs/x?y=1",
        f"http://user:{SECRET}@pacs:port/x",
        f"dicom://A:{SECRET}@pacs:4242",
        f"dicom://user:{SECRET}@A@pacs:4242",
        f"http://user:{SECRET}@",
    ],
)
def test_a_password_is_never_in_an_error(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        open_destination(text, environ={})
    assert SECRET not in caught.value.detail
    assert SECRET not in shown(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orthanc+http://ponte:x@pacs:8042", "orthanc+http://ponte@pacs:8042"),
        ("https://pacs/dicom-web", "https://pacs/dicom-web"),
        ("dicom://ME@A@pacs:4242?tls=1", "dicom://ME@A@pacs:4242"),
    ],
)
def test_an_address_is_shown_without_its_secrets(text: str, expected: Any) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize("text", ["s3://user@bucket", "s3://bucket:80/x", "s3://bucket/x?y=1", "s3:///x"])
def test_an_inbox_is_a_bucket_and_a_prefix(text: str) -> None:
    with pytest.raises(InvalidRequest):
        open_inbox(text)
