from __future__ import annotations

import socket
from pathlib import Path

import pytest
import urllib3

from infra.local.aws import Aws
from infra.local.emulator import Emulator, safe_environment
from infra.local.errors import LocalStackError


def test_the_users_account_is_not_in_the_environment() -> None:
    safe = safe_environment(
        {
            "PATH": "/bin",
            "AWS_PROFILE": "hospital",
            "AWS_ACCESS_KEY_ID": "AKIAREAL",
            "AWS_SECRET_ACCESS_KEY": "real",
            "AWS_SESSION_TOKEN": "real",
            "AWS_ROLE_ARN": "arn:real",
            "AWS_ENDPOINT_URL": "https://real",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://real",
        }
    )

    assert "real" not in " ".join(safe.values()).lower()
    assert "AWS_PROFILE" not in safe
    assert safe["AWS_SHARED_CREDENTIALS_FILE"] == safe["AWS_CONFIG_FILE"] == "/dev/null"
    assert safe["PATH"] == "/bin"


def test_an_address_of_amazons_is_refused() -> None:
    for url in ("https://s3.us-east-1.amazonaws.com", "https://lambda.eu-west-1.api.aws", ""):
        with pytest.raises(LocalStackError, match="AWS_ENDPOINT_URL"):
            Aws(url)


def test_a_profile_that_the_user_chose_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")

    credentials = Aws("http://127.0.0.1:1").s3._request_signer._credentials  # type: ignore[attr-defined]

    assert credentials.access_key == "test"


@pytest.mark.stack
def test_it_listens_on_loopback_alone_and_keeps_to_its_folder(tmp_path: Path) -> None:
    with Emulator(tmp_path) as emulator:
        aws = Aws(emulator.endpoint_url)
        aws.s3.create_bucket(Bucket="bucket")
        aws.s3.put_object(Bucket="bucket", Key="key", Body=b"value")
        link = aws.s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})

        assert urllib3.request("GET", link).data == b"value"
        assert listening_addresses(emulator.port) == {"0100007F"}
        assert list((tmp_path / "tmp").glob("ministack-*.pid"))

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", emulator.port), timeout=5)


def listening_addresses(port: int) -> set[str]:
    """Local addresses that listen on the port, as /proc has them: 0100007F is 127.0.0.1."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                found.add(local.rpartition(":")[0])
    return found
