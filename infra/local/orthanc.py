"""A real Orthanc (Debian's `orthanc` and `orthanc-dicomweb`) with its own folder, ports and password."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import urllib3

from infra.local.errors import LocalStackError
from infra.local.interrupts import held
from infra.local.process import Child, free_port

HOST = "127.0.0.1"
PROGRAM_FOLDERS = "/usr/sbin:/usr/local/sbin:/opt/orthanc/bin"
PLUGINS = (
    Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so"),
    Path("/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so"),
)
AE_TITLE = "ORTHANC"
START_S = 60
STARTS = 3
GRACE_S = 0.2
"""Its own way of stopping takes 2 to 3 s, to save what is thrown away with the folder."""


def program() -> str | None:
    """The path of Orthanc's binary, or None."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path=PROGRAM_FOLDERS)


def plugin() -> Path | None:
    """The path of the DICOMweb plugin, or None."""
    return next((path for path in PLUGINS if path.exists()), None)


def installed() -> bool:
    """Whether this machine has both Orthanc and its DICOMweb plugin."""
    return program() is not None and plugin() is not None


class Orthanc:
    """Orthanc while entered.

    This version cannot bind to one address: HTTP from elsewhere is refused by Orthanc itself
    (`RemoteAccessAllowed`), and with `authenticate` (the default) a user and a random password are asked for.
    DIMSE has neither, so it is off unless `dimse` asks for it. Without `overwrite` it keeps the first
    instance of a UID, and its MD5, as it does where nobody configured it. `modalities` are AE title, host
    and port of peers that it is to know, by name.
    """

    def __init__(
        self,
        folder: Path,
        *,
        authenticate: bool = True,
        dimse: bool = False,
        overwrite: bool = True,
        modalities: Mapping[str, tuple[str, str, int]] | None = None,
    ) -> None:
        self._folder = folder
        self._authenticate = authenticate
        self._dimse = dimse
        self._overwrite = overwrite
        self._modalities = dict(modalities or {})
        self.username = "ponte"
        self.password = secrets.token_urlsafe(18)
        self.http_port = 0
        self.dicom_port = 0
        self.log = folder / "orthanc.log"
        self._child: Child | None = None
        self._http = urllib3.PoolManager(
            headers=urllib3.make_headers(basic_auth=f"{self.username}:{self.password}")
            if authenticate
            else None,
            retries=False,
            timeout=urllib3.Timeout(connect=5, read=60),
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def dicomweb_url(self) -> str:
        return f"{self.url}/dicom-web"

    @property
    def credentials(self) -> dict[str, str] | None:
        """What the worker's secret holds, or None without authentication."""
        if not self._authenticate:
            return None
        return {"type": "basic", "username": self.username, "password": self.password}

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Start it and wait until it answers; raises `LocalStackError` with the end of its log."""
        executable, dicomweb = program(), plugin()
        if executable is None or dicomweb is None:
            raise LocalStackError("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
        self._folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, STARTS + 1):
            self.http_port, self.dicom_port = free_port(), free_port()
            configuration = self._write_configuration(dicomweb)
            with held():
                self._child = Child(
                    "Orthanc",
                    [executable, str(configuration)],
                    log=self.log,
                    cwd=self._folder,
                    grace_s=GRACE_S,
                )
            try:
                self._child.wait_until(self._ready, timeout_s=START_S, what="it answers")
            except LocalStackError:
                self.stop()
                if attempt == STARTS:
                    raise
            else:
                return

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
        self._http.clear()

    def upload(self, instance: bytes) -> str:
        """Store one Part 10 instance (POST /instances) and return its Study Instance UID's Orthanc id.

        Raises `LocalStackError` when Orthanc does not accept it.
        """
        answer = self._http.request("POST", f"{self.url}/instances", body=instance)
        if answer.status != 200:
            raise LocalStackError(f"Orthanc refused an instance: HTTP {answer.status}")
        parent: str = answer.json()["ParentStudy"]
        return parent

    def upload_files(self, paths: Iterable[Path]) -> int:
        """Store each file; returns how many."""
        count = 0
        for path in paths:
            self.upload(path.read_bytes())
            count += 1
        return count

    def delete_study(self, study_instance_uid: str) -> None:
        """Forget the study where there is one."""
        answer = self._http.request("POST", f"{self.url}/tools/lookup", body=study_instance_uid)
        for found in answer.json():
            if found["Type"] == "Study":
                self._http.request("DELETE", f"{self.url}{found['Path']}")

    def _write_configuration(self, dicomweb: Path) -> Path:
        configuration = {
            "Name": "Ponte",
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "TemporaryDirectory": str(self._folder),
            "Plugins": [str(dicomweb)],
            "HttpServerEnabled": True,
            "HttpPort": self.http_port,
            "HttpDescribeErrors": True,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": self._authenticate,
            "RegisteredUsers": {self.username: self.password},
            "DicomServerEnabled": self._dimse,
            "DicomPort": self.dicom_port,
            "DicomAet": AE_TITLE,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomModalities": self._modalities,
            "DefaultEncoding": "Utf8",
            "OverwriteInstances": self._overwrite,
            "StoreMD5ForAttachments": not self._overwrite,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
        }
        path = self._folder / "orthanc.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(configuration, indent=1))
        return path

    def _ready(self) -> bool:
        try:
            answer = self._http.request("GET", f"{self.dicomweb_url}/studies?limit=1", timeout=2)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == 200

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
