"""What the environment says of the local stack: the variables of the old system, with its defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from infra.local.errors import LocalStackError

HOST = "127.0.0.1"
PORT = 9000
OrthancChoice = Literal["auto", "yes", "no"]


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Where the API listens, where studies come from, and what the deployed functions are told.

    `port` 0 is any free one. `dicom_wado_url` empty: an Orthanc of the stack's own where one is installed.
    With `receiver` the stack has a callback receiver, whose origin is among the allowed ones.
    `endpoint_url` empty: an emulator of the stack's own. `environment` is what the synthesis sees;
    `function_environment` replaces variables of the functions when they are deployed.
    """

    host: str = HOST
    port: int = PORT
    dicom_wado_url: str = ""
    dicom_credentials: Mapping[str, str] | None = None
    callback_origins: tuple[str, ...] = ()
    orthanc: OrthancChoice = "auto"
    receiver: bool = False
    endpoint_url: str = ""
    function_environment: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def open_to_all(self) -> bool:
        """True when other machines reach the API and no list says which of them may call."""
        local = self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"
        return not local and not self.environment.get("ALLOWED_CLIENT_IPS", "").strip(" ,")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> StackOptions:
        """Read API_HOST, API_PORT, DICOM_WADO_URL with DICOM_USERNAME and DICOM_PASSWORD,
        CALLBACK_ALLOW_ORIGINS and AWS_ENDPOINT_URL.

        Raises `LocalStackError` for a port that is none.
        """
        return cls(
            host=environment.get("API_HOST") or HOST,
            port=_port(environment.get("API_PORT") or str(PORT)),
            dicom_wado_url=environment.get("DICOM_WADO_URL", ""),
            dicom_credentials=_credentials(environment),
            callback_origins=tuple(_listed(environment.get("CALLBACK_ALLOW_ORIGINS", ""))),
            endpoint_url=environment.get("AWS_ENDPOINT_URL", ""),
            environment=dict(environment),
        )


def _credentials(environment: Mapping[str, str]) -> dict[str, str] | None:
    """User and password at the server of DICOM_WADO_URL, where the environment names a user."""
    username = environment.get("DICOM_USERNAME", "")
    password = environment.get("DICOM_PASSWORD", "")
    return {"type": "basic", "username": username, "password": password} if username else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise LocalStackError(f"API_PORT is {text!r}; expected a port number, 1 to 65535")
    return int(text)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
