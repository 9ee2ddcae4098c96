"""Where the studies of this deployment are: `DICOM_WADO_URL` made into a source."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ponte.dicomweb import Credentials, DicomWebSource
from ponte.errors import SourceRefused
from ponte.folder import FolderSource
from ponte_aws import clients
from render.settings import WorkerSettings


def open_source(settings: WorkerSettings) -> DicomWebSource | FolderSource:
    """The deployment's source. A folder is one in stage `local` alone: a function has no files to show.

    Raises `SourceRefused` where nothing usable is configured.
    """
    url = settings.dicom_wado_url
    if not url:
        raise SourceRefused("DICOM_WADO_URL is not configured")
    if urlsplit(url).scheme == "file":
        if settings.stage != "local":
            raise SourceRefused("DICOM_WADO_URL may be a folder in stage local only")
        return FolderSource(Path(unquote(urlsplit(url).path)))
    return DicomWebSource(url, credentials=_credentials(settings.dicom_auth_secret_arn))


def _credentials(secret_arn: str) -> Credentials | None:
    if not secret_arn:
        return None
    text = clients.secrets_manager().get_secret_value(SecretId=secret_arn)["SecretString"]
    return Credentials.from_json(json.loads(text))
