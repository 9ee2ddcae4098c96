"""Where the images of this deployment are, and where reports go."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from classify.settings import ClassifySettings
from ponte.destination import Destination
from ponte.dicomweb import Credentials, DicomWebSource
from ponte.errors import InvalidRequest, SourceRefused
from ponte.folder import FolderSource
from ponte_aws import clients
from ponte_net import destinations


def open_source(settings: ClassifySettings) -> DicomWebSource | FolderSource:
    """Raises `SourceRefused` where nothing usable is configured. A folder is one in stage `local` alone."""
    parts = urlsplit(settings.dicom_wado_url)
    if parts.scheme == "file" and settings.stage == "local":
        return FolderSource(Path(unquote(parts.path)))
    if parts.scheme not in ("http", "https"):
        raise SourceRefused("DICOM_WADO_URL is not configured")
    return DicomWebSource(settings.dicom_wado_url, credentials=credentials_of(settings.dicom_auth_secret_arn))


def open_destination(settings: ClassifySettings) -> Destination:
    """Raises `InvalidRequest` where reports have nowhere to go."""
    place, secret_arn = settings.classify_destination, settings.classify_auth_secret_arn
    if not place:
        place, secret_arn = settings.dicom_wado_url, settings.dicom_auth_secret_arn
        if urlsplit(place).scheme not in ("http", "https"):
            raise InvalidRequest("CLASSIFY_DESTINATION is not configured")
    return destinations.open_destination(place, credentials=credentials_of(secret_arn), environ={})


def credentials_of(secret_arn: str) -> Credentials | None:
    """What the secret holds; None without one."""
    if not secret_arn:
        return None
    text = clients.secrets_manager().get_secret_value(SecretId=secret_arn)["SecretString"]
    return Credentials.from_json(json.loads(text))
