from __future__ import annotations

import pytest

from infra.local.errors import LocalStackError
from infra.local.options import StackOptions


def test_the_defaults_are_those_of_the_old_system() -> None:
    options = StackOptions.from_environment({})

    assert (options.host, options.port, options.dicom_wado_url) == ("127.0.0.1", 9000, "")


def test_the_environment_is_read() -> None:
    options = StackOptions.from_environment(
        {
            "API_HOST": "0.0.0.0",
            "API_PORT": "9001",
            "DICOM_WADO_URL": "http://pacs/dicom-web",
            "CALLBACK_ALLOW_ORIGINS": "http://a:1, 10.0.0.0/8",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        }
    )

    assert (options.host, options.port) == ("0.0.0.0", 9001)
    assert options.dicom_wado_url == "http://pacs/dicom-web"
    assert options.callback_origins == ("http://a:1", "10.0.0.0/8")
    assert options.endpoint_url == "http://127.0.0.1:4566"


def test_a_user_of_the_dicomweb_server_has_a_password() -> None:
    options = StackOptions.from_environment({"DICOM_USERNAME": "ponte", "DICOM_PASSWORD": "secret"})

    assert options.dicom_credentials == {"type": "basic", "username": "ponte", "password": "secret"}
    assert StackOptions.from_environment({"DICOM_PASSWORD": "secret"}).dicom_credentials is None


@pytest.mark.parametrize("port", ["nine", "-1", "65536", "9000 "])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(LocalStackError, match="API_PORT is"):
        StackOptions.from_environment({"API_PORT": port})


@pytest.mark.parametrize(
    ("host", "allowed", "expected"),
    [
        ("127.0.0.1", "", False),
        ("localhost", "", False),
        ("0.0.0.0", "", True),
        ("0.0.0.0", " , ", True),
        ("192.168.0.5", "192.168.0.0/24", False),
    ],
)
def test_an_api_that_others_reach_wants_a_list(host: str, allowed: str, expected: bool) -> None:
    options = StackOptions.from_environment({"API_HOST": host, "ALLOWED_CLIENT_IPS": allowed})
    assert options.open_to_all is expected
