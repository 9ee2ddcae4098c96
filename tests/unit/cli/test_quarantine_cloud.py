"""`ponte quarantine` over a bucket, or over the names that a deployed stack puts out."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from ponte.dedup import Finding, Ledger, Policy
from ponte.quarantine import QuarantineRecord
from ponte_aws import clients
from ponte_aws.ledger import DynamoStore
from ponte_aws.quarantine import S3Quarantine
from tests.destinations import Recorder
from tests.factories import encode, make_ct
from tests.unit.cli.test_render import run
from tests.unit.conftest import Aws

CT = encode(make_ct(1))
DESTINATION = "http://pacs.example/dicom-web"
BUCKET = "ponte-inbox"


@pytest.fixture
def kept(aws: Aws) -> str:
    """An entry in the quarantine of a stack."""
    boto3.resource("dynamodb").create_table(
        TableName="ledger",
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    template = {
        "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": BUCKET}}},
        "Outputs": {"InboxBucket": {"Value": BUCKET}, "LedgerTable": {"Value": "ledger"}},
    }
    boto3.client("cloudformation").create_stack(StackName="ponte-dev", TemplateBody=json.dumps(template))
    record = QuarantineRecord("DESTINATION_REFUSED", "no", name="a.dcm")
    return S3Quarantine(clients.s3(), BUCKET).keep(record, [CT])


@pytest.mark.parametrize("where", [("--bucket", BUCKET), ("--stack", "ponte-dev")])
def test_entries_are_listed_shown_and_purged(
    kept: str,
    where: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "quarantine", "list", *where, "--json") == 0
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)["entries"]] == [kept]
    assert run(monkeypatch, "quarantine", "show", kept, *where, "--json") == 0
    assert json.loads(capsys.readouterr().out)["record"]["reason"] == "DESTINATION_REFUSED"
    assert run(monkeypatch, "quarantine", "purge", kept, *where, "--yes", "--json") == 0
    assert list(S3Quarantine(clients.s3(), BUCKET).list()) == []


def test_what_is_released_is_known_to_the_ledger_of_the_stack(
    kept: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.destinations.open_destination", lambda *_, **__: Recorder())
    arguments = ["release", kept, "--stack", "ponte-dev", "--to", DESTINATION, "--json"]
    assert run(monkeypatch, "quarantine", *arguments) == 0
    capsys.readouterr()
    released = S3Quarantine(clients.s3(), BUCKET).show(kept).released
    assert released is not None
    assert released.status == "stored"
    ledger = Ledger(DynamoStore(clients.table("ledger"), DESTINATION), Policy.UID_ONLY)
    assert ledger.claim(str(make_ct(1).SOPInstanceUID), "0", "somebody").finding is Finding.DUPLICATE


@pytest.mark.parametrize("given", [(), ("--bucket", "a", "--stack", "b"), ("--stack", "no-such-stack")])
def test_a_quarantine_that_is_not_named_or_not_there_is_refused(
    kept: str, given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run(monkeypatch, "quarantine", "list", *given) == 2
