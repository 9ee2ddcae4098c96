"""The operator's system is told of each archive's end, signed, until it says that it knows."""

from __future__ import annotations

import base64
import json

import pytest
from standardwebhooks import Webhook

from ponte_aws import clients
from tests.hazards.archives import archive
from tests.unit.callback.receiver import receiving
from tests.unit.zip_ingest.conftest import Inbox, archive_id_of, record
from zip_ingest import webhook


def test_the_notice_is_signed_and_the_same_id_comes_again_until_it_is_taken(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = base64.b64encode(bytes(range(48))).decode()
    made = clients.secrets_manager().create_secret(Name="w", SecretString=json.dumps({"first": secret}))
    arrived = inbox.put(archive())
    inbox.handle(arrived)
    (message,) = inbox.messages("webhook")
    with receiving() as receiver:
        monkeypatch.setenv("INGEST_WEBHOOK_URL", receiver.url)
        monkeypatch.setenv("WEBHOOK_SECRET_ARN", made["ARN"])
        receiver.status = 503
        event = {"Records": [record(message)]}
        assert webhook.handler(event, None)["batchItemFailures"]  # type: ignore[arg-type]
        receiver.status = 204
        assert webhook.handler(event, None) == {"batchItemFailures": []}  # type: ignore[arg-type]
        (first, _), (headers, body) = receiver.requests
    lowered = {name.lower(): value for name, value in headers.items()}
    assert Webhook(f"whsec_{secret}").verify(body, lowered)["totals"]["delivered"] == 2
    assert first["webhook-id"] == headers["webhook-id"] == archive_id_of(arrived)


def test_a_notice_that_overtakes_the_row_waits(inbox: Inbox) -> None:
    from tests.unit.zip_ingest.test_handler import _archived

    row = inbox.archives.create(_archived(inbox.put(archive())), retention_days=90)
    answer = webhook.handler({"Records": [record({"archive_id": row.archive_id})]}, None)  # type: ignore[arg-type]
    assert answer["batchItemFailures"]


def test_a_redirect_is_not_followed(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.handle(inbox.put(archive()))
    (message,) = inbox.messages("webhook")
    with receiving() as receiver:
        monkeypatch.setenv("INGEST_WEBHOOK_URL", receiver.url)
        receiver.status = 302
        assert webhook.handler({"Records": [record(message)]}, None)["batchItemFailures"]  # type: ignore[arg-type]
        assert len(receiver.requests) == 1
