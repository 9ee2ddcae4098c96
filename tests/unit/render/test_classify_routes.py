"""`POST /classify`: a durable request, behind the same access rules as every path."""

from __future__ import annotations

import json

import pytest

from ponte_aws import clients
from render.settings import api_settings
from tests.unit.conftest import Aws
from tests.unit.render.test_api import call

STUDY = "1.2.840.1"


@pytest.fixture
def queue_url(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> str:
    url: str = clients.sqs().create_queue(QueueName="classify")["QueueUrl"]
    monkeypatch.setenv("CLASSIFY_QUEUE_URL", url)
    api_settings.cache_clear()
    return url


def test_the_row_has_the_study_and_the_message_names_the_row(aws: Aws, queue_url: str) -> None:
    status, _, body = call("POST", "/classify", {"pacs_studies_iuid": STUDY})

    assert (status, body["status"], body["pacs_studies_iuid"]) == (200, "accepted", STUDY)
    assert "not a medical device" in body["message"]
    (message,) = [json.loads(text) for text in aws.messages(queue_url)]
    assert message["rows"] == "1"
    row = aws.table.get_item(Key={"job_id": f"{message['reference']}#0"})["Item"]
    assert row["studies"] == {STUDY: []}
    assert STUDY not in json.dumps(message)


def test_without_a_model_it_says_so(aws: Aws) -> None:
    status, _, body = call("POST", "/classify", {"pacs_studies_iuid": STUDY})

    assert (status, body["code"]) == (501, "NO_MODEL")


@pytest.mark.parametrize("body", [{}, {"pacs_studies_iuid": "x"}, {"pacs_studies_iuid": None}])
def test_a_body_that_does_not_fit_is_refused(aws: Aws, queue_url: str, body: dict[str, object]) -> None:
    assert call("POST", "/classify", body)[0] == 422
    assert aws.messages(queue_url) == []


def test_who_may_not_call_may_not_classify(aws: Aws, queue_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", "192.0.2.0/24")
    api_settings.cache_clear()

    status, _, body = call("POST", "/classify", {"pacs_studies_iuid": STUDY}, source_ip="198.51.100.1")
    assert (status, body["code"]) == (403, "CLIENT_NOT_ALLOWED")
    assert aws.messages(queue_url) == []
