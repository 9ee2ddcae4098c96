"""The whole system on one machine: AWS, a PACS, the deployed template and the API, as one context manager."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local import demo_study, orthanc
from infra.local.aws import Aws
from infra.local.deploy import deploy
from infra.local.emulator import Emulator
from infra.local.errors import LocalStackError
from infra.local.folder import OwnedFolder
from infra.local.gateway import FunctionBackend, Gateway
from infra.local.interrupts import held
from infra.local.options import StackOptions
from infra.local.orthanc import Orthanc
from infra.local.receiver import Receiver
from infra.local.synth import synthesise

OPEN_TO_ALL = "WARNING: the API listens on {} for everybody who reaches this machine; set ALLOWED_CLIENT_IPS"

Say = Callable[[str], None]


class LocalStack:
    """The stack while entered. All it starts is in `folder`, and gone when it is left."""

    def __init__(self, options: StackOptions, *, say: Say = lambda _: None) -> None:
        self.options = options
        self._say = say
        self._exits = ExitStack()
        self._gateway: Gateway | None = None
        self._aws: Aws | None = None
        self._emulator: Emulator | None = None
        self._folder: OwnedFolder | None = None
        self._receiver: Receiver | None = None
        self.orthanc: Orthanc | None = None
        self.outputs: dict[str, str] = {}
        self.dicom_wado_url = options.dicom_wado_url

    @property
    def folder(self) -> Path:
        return _started(self._folder).path

    @property
    def study_folder(self) -> Path:
        """Where the demo study is written; without an Orthanc, the source itself."""
        return self.folder / "study"

    @property
    def has_own_source(self) -> bool:
        """Whether studies come from the stack's own Orthanc or folder, not from a server that was named."""
        return not self.options.dicom_wado_url

    @property
    def takes_archives(self) -> bool:
        """Whether a ZIP in the inbox has somewhere to go."""
        return bool(self._destination_address)

    @property
    def _destination_address(self) -> str:
        """The operator's own destination, else our Orthanc, else nothing."""
        named = self.options.environment.get("INGEST_DESTINATION", "")
        return named or (self.orthanc.dicomweb_url if self.orthanc else "")

    @property
    def aws(self) -> Aws:
        return _started(self._aws)

    @property
    def receiver(self) -> Receiver:
        return _started(self._receiver)

    @property
    def api_url(self) -> str:
        return _started(self._gateway).url

    @property
    def port(self) -> int:
        return _started(self._gateway).port

    @property
    def broken(self) -> str:
        """Which part has stopped by itself, or nothing."""
        if self._emulator is not None and not self._emulator.running:
            return f"the AWS emulator stopped: see {self._emulator.log}"
        if self.orthanc is not None and not self.orthanc.running:
            return f"Orthanc stopped: see {self.orthanc.log}"
        return ""

    def start(self) -> None:
        """Start everything; on any error, an interruption included, nothing of it is left.

        Raises `PortInUseError`, `DeployError` or another `LocalStackError`.
        """
        try:
            self._reserve()
            self._start_emulator()
            self._start_orthanc()
            self.outputs = self._deploy()
            self._open()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        with held():
            self._exits.close()

    def load_demo_study(self) -> str:
        """Put the demo study where our own source has it, and return its UID; "" for a source elsewhere."""
        if not self.has_own_source:
            return ""
        files = demo_study.write(self.study_folder)
        if self.orthanc is not None:
            self.orthanc.upload_files(files)
        return str(demo_study.STUDY_INSTANCE_UID)

    def _reserve(self) -> None:
        """The port first: it is what most often cannot be had, and the answer costs nothing."""
        with held():
            self._gateway = Gateway(self.options.host, self.options.port)
            self._exits.callback(self._gateway.stop)
            self._folder = OwnedFolder()
            self._exits.callback(self._folder.remove)
            if self.options.receiver:
                self._receiver = Receiver(self.folder / "callbacks")
                self._exits.enter_context(self._receiver)

    def _start_emulator(self) -> None:
        if self.options.endpoint_url:
            self._aws = Aws(self.options.endpoint_url)
            return
        folder = self.folder / "aws"
        folder.mkdir()
        self._emulator = Emulator(folder)
        self._exits.callback(self._emulator.stop)
        self._say("starting the AWS emulator")
        self._emulator.start()
        self._aws = Aws(self._emulator.endpoint_url)

    def _start_orthanc(self) -> None:
        """An Orthanc of our own, unless the operator named a server; where it is not installed, a folder."""
        choice = self.options.orthanc
        automatic = choice == "auto" and self.has_own_source and orthanc.installed()
        if choice != "yes" and not automatic:
            self.dicom_wado_url = self.dicom_wado_url or self.study_folder.as_uri()
            return
        self.orthanc = Orthanc(self.folder / "orthanc")
        self._exits.callback(self.orthanc.stop)
        self._say("starting Orthanc")
        self.orthanc.start()
        self.dicom_wado_url = self.dicom_wado_url or self.orthanc.dicomweb_url

    def _deploy(self) -> dict[str, str]:
        self._say("synthesising the template, where it changed")
        assembly = synthesise(self.folder, environment=self.options.environment)
        self._say("deploying it")
        own = (self.receiver.origin,) if self._receiver else ()
        environment = {
            "DICOM_WADO_URL": self.dicom_wado_url,
            "DICOM_AUTH_SECRET_ARN": self._store_credentials(),
            "CALLBACK_ALLOW_ORIGINS": ",".join(own + self.options.callback_origins),
            **self._destination(),
        }
        return deploy(assembly, self.aws, environment=environment | dict(self.options.function_environment))

    def _destination(self) -> dict[str, str]:
        """Where archives go, and with which credentials."""
        secret = self.options.environment.get("INGEST_AUTH_SECRET_ARN", "")
        if self.orthanc is not None and self._destination_address == self.orthanc.dicomweb_url:
            secret = self._store_secret(self.orthanc.credentials)
        return {"INGEST_DESTINATION": self._destination_address, "INGEST_AUTH_SECRET_ARN": secret}

    def _store_credentials(self) -> str:
        """Put the source's credentials where the worker reads them; returns the secret's ARN, or nothing."""
        credentials = self.options.dicom_credentials
        if self.orthanc is not None and self.dicom_wado_url == self.orthanc.dicomweb_url:
            credentials = self.orthanc.credentials
        return self._store_secret(credentials)

    def _store_secret(self, credentials: Mapping[str, str] | None) -> str:
        """The ARN of a secret with these, or nothing for none."""
        if credentials is None:
            return ""
        answer = self.aws.secrets.create_secret(
            Name=f"ponte-local-{uuid.uuid4().hex[:8]}", SecretString=json.dumps(dict(credentials))
        )
        return answer["ARN"]

    def _open(self) -> None:
        function = self.outputs.get("ApiFunction")
        if not function:
            raise LocalStackError("the template has no output ApiFunction")
        backend = FunctionBackend(self.aws, function, api_id=self.outputs.get("ApiId", "local"))
        _started(self._gateway).start(backend)
        if self.options.open_to_all:
            self._say(OPEN_TO_ALL.format(self.options.host))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _started[Part](part: Part | None) -> Part:
    if part is None:
        raise LocalStackError("the local stack is not started")
    return part
