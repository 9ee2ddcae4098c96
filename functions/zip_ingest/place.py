"""Where the instances of this deployment go, and what becomes of those that do not."""

from __future__ import annotations

import json

from ponte.dedup import Ledger
from ponte.destination import Destination
from ponte.dicomweb import Credentials
from ponte.errors import InvalidRequest
from ponte.ingest import BatchLimits, Route
from ponte_aws import clients
from ponte_aws.ledger import DynamoStore
from ponte_aws.quarantine import S3Quarantine
from ponte_net.destinations import open_destination, shown
from zip_ingest.found import KEEP
from zip_ingest.settings import IngestSettings


def open_route(settings: IngestSettings) -> Route:
    """The route of this deployment. Raises `InvalidRequest` where no usable destination is configured."""
    store = DynamoStore(clients.table(settings.ledger_table), shown(settings.ingest_destination))
    return Route(
        destination=_open_destination(settings),
        ledger=Ledger(store, settings.dedup_policy),
        quarantine=S3Quarantine(clients.s3(), settings.inbox_bucket),
        limits=BatchLimits(batch_instances=settings.batch_instances, batch_bytes=settings.batch_bytes),
        keep=KEEP,
    )


def _open_destination(settings: IngestSettings) -> Destination:
    if not settings.ingest_destination:
        raise InvalidRequest("INGEST_DESTINATION is not configured")
    credentials = _credentials(settings.ingest_auth_secret_arn)
    return open_destination(settings.ingest_destination, credentials=credentials, environ={})


def _credentials(secret_arn: str) -> Credentials | None:
    if not secret_arn:
        return None
    text = clients.secrets_manager().get_secret_value(SecretId=secret_arn)["SecretString"]
    return Credentials.from_json(json.loads(text))
