"""What is configured is what is meant, or it is refused by name, and no password is ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ponte.errors import InvalidRequest
from router.destinations import (
    TARGET,
    DicomNode,
    Inbox,
    Retries,
    WebServer,
    read_destinations,
    target,
)
from router.links import DicomLink, HttpLink, credentials_of, open_link
from router.rules import Match
from tests.corpus import ROOT

NODE = {"kind": "dicom", "name": "pacs", "host": "192.168.10.16", "port": 4243, "ae_title": "ZEROCLICK"}
WEB = {"kind": "dicomweb", "name": "web", "url": "https://pacs.example/dicom-web"}
INBOX = {"kind": "s3", "name": "cloud", "bucket": "ponte-inbox"}


def test_each_kind_is_read_with_its_defaults() -> None:
    node, web, inbox = read_destinations([NODE, WEB, INBOX])
    assert isinstance(node, DicomNode)
    assert (node.transcode, node.commitment, node.send, node.concurrency) == (
        "lossless",
        False,
        "instances",
        1,
    )
    assert isinstance(web, WebServer)
    assert isinstance(inbox, Inbox)
    assert inbox.prefix == "inbox/"
    assert isinstance(open_link(node), DicomLink)
    assert isinstance(open_link(web), HttpLink)


def test_the_target_of_an_env_file_is_one_destination() -> None:
    assert target("192.168.10.16", 4243, "ZEROCLICK") == read_destinations([{**NODE, "name": TARGET}])[0]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"port": 0}, r"destinations\[0\]\.port: .*greater than or equal to 1"),
        ({"port": "x"}, r"destinations\[0\]\.port: .*integer"),
        ({"ae_title": "A" * 17}, r"destinations\[0\]\.ae_title: AE title"),
        ({"name": "Has Space"}, r"destinations\[0\]\.name: "),
        ({"hots": "x"}, r"destinations\[0\]\.hots: Extra inputs"),
        ({"kind": "ftp"}, r"destinations\[0\]: Input tag 'ftp'"),
        ({"local_port": 11113, "concurrency": 2}, "concurrency is 1"),
        ({"ca_file": "/ca.pem"}, "tls is not true"),
        ({"schedule": ["25:00-26:00"]}, r"destinations\[0\]\.schedule: .*is no time"),
        ({"rules": [{"include": {"address": ["x"]}}]}, r"destinations\[0\]\.rules\[0\]\.include\.address"),
        ({"rules": [{"includes": {}}]}, r"rules\[0\]\.includes: Extra"),
        ({"retry": {"first_s": 10, "longest_s": 5}}, r"destinations\[0\]\.retry: longest_s is shorter"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read_destinations([{**NODE, **changed}])


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="the name pacs is given twice"):
        read_destinations([NODE, {**WEB, "name": "pacs"}])


def test_passwords_stay_secret(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_destinations([{**WEB, "username": "u", "password": "S3CRET", "password_file": "/x", "port": 1}])
    assert "S3CRET" not in raised.value.detail
    (web,) = read_destinations([{**WEB, "username": "u", "password": "S3CRET"}])
    assert "S3CRET" not in f"{web!r} {web.model_dump_json()}"
    file = tmp_path / "password"
    file.write_text("S3CRET\n")
    (other,) = read_destinations([{**WEB, "username": "u", "password_file": str(file)}])
    assert isinstance(web, WebServer)
    assert isinstance(other, WebServer)
    assert credentials_of(web) == credentials_of(other)
    (missing,) = read_destinations([{**WEB, "username": "u", "password_file": str(tmp_path / "none")}])
    assert isinstance(missing, WebServer)
    with pytest.raises(InvalidRequest, match="web: the password_file cannot be read"):
        open_link(missing)


def test_a_user_without_a_password_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="go together"):
        read_destinations([{**WEB, "username": "u"}])


def test_the_document_shows_what_can_be_set() -> None:
    text = (ROOT / "docs/destinations.md").read_text(encoding="utf-8")
    shown = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert [one.kind for one in read_destinations(shown["destinations"])] == ["dicom", "dicomweb", "s3"]
    for kind in (DicomNode, WebServer, Inbox):
        for name in kind.model_fields:
            named = [f"`retry.{one}`" for one in Retries.model_fields] if name == "retry" else [f"`{name}`"]
            assert all(one in text for one in named), name
    for name in Match.model_fields:
        assert f"`{name}`" in text
