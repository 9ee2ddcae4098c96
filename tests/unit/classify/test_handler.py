"""Messages to results: what is kept, what is sent, what comes again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom.dataset import FileDataset

from classify import handler as module
from classify.request import FROM_ARCHIVE
from classify.settings import classify_settings
from ponte.destination import Outcome, Outgoing
from ponte.errors import DestinationUnavailable, StudyNotFound
from ponte.source import Fetched
from ponte_aws import clients
from tests.factories import STUDY_UID, encode, make_ct, uid
from tests.unit.classify.images import make_cr, make_dx
from tests.unit.classify.models import write_model
from tests.unit.conftest import Aws

OTHER = uid("another study")
PLENTY, NONE_LEFT = 900_000, 1_000


@dataclass
class Pacs:
    """What it has by study, what it was given, and what it says to that."""

    studies: dict[str, list[FileDataset]]
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    says: str = "stored"

    def instances(self, study_instance_uid: str) -> Iterator[Fetched]:
        self.asked.append(study_instance_uid)
        if study_instance_uid not in self.studies:
            raise StudyNotFound("The server has no such study")
        for number, dataset in enumerate(self.studies[study_instance_uid]):
            yield Fetched(encode(dataset), f"part {number}")

    def check(self) -> None: ...

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        for instance in instances:
            if self.says == "down":
                raise DestinationUnavailable("The server cannot be reached")
            if self.says == "stored":
                self.stored[instance.sop_instance_uid] = bytes(instance.content)  # type: ignore[arg-type]
            yield Outcome(instance.sop_instance_uid, self.says)  # type: ignore[arg-type]


@dataclass
class Deployed:
    """The function with a model, a queue, a bucket and a PACS."""

    aws: Aws
    pacs: Pacs
    queue_url: str

    def ask(self, studies: dict[str, list[str]], *, reference: str = "request#1", row: int = 0) -> None:
        self.aws.table.put_item(Item={"job_id": f"{reference}#{row}", "studies": studies})

    def run(self, body: Any, *, left_ms: int = PLENTY) -> dict[str, Any]:
        text = body if isinstance(body, str) else json.dumps(body)
        record = {"messageId": "m", "receiptHandle": "r", "body": text, "attributes": {}}
        context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms)
        return module.handler({"Records": [record]}, context)

    @property
    def results(self) -> list[dict[str, Any]]:
        listed = clients.s3().list_objects_v2(Bucket="results").get("Contents", [])
        bodies = [
            clients.s3().get_object(Bucket="results", Key=entry["Key"])["Body"].read() for entry in listed
        ]
        return [json.loads(body) for body in bodies]


@pytest.fixture
def deployed(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    clients.s3().create_bucket(Bucket="results")
    queue_url = clients.sqs().create_queue(QueueName="classify")["QueueUrl"]
    settings = {
        "STAGE": "local",
        "CLASSIFY_MODEL": str(write_model(tmp_path / "model")),
        "CLASSIFY_QUEUE_URL": queue_url,
        "JOBS_TABLE": "jobs",
        "ARCHIVES_TABLE": "archives",
        "RESULT_BUCKET": "results",
        "DICOM_WADO_URL": "https://pacs.invalid/dicom-web",
        "RETRY_BASE_SECONDS": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    pacs = Pacs({STUDY_UID: [make_dx(number=1), make_ct()], OTHER: [make_cr(StudyInstanceUID=OTHER)]})
    monkeypatch.setattr(module, "open_source", lambda _settings: pacs)
    monkeypatch.setattr(module, "open_destination", lambda _settings: pacs)
    classify_settings.cache_clear()
    module.loaded_model.cache_clear()
    yield Deployed(aws, pacs, queue_url)
    classify_settings.cache_clear()
    module.loaded_model.cache_clear()


MESSAGE = {"reference": "request#1", "rows": "1"}
DONE: dict[str, Any] = {"batchItemFailures": []}
AGAIN = {"batchItemFailures": [{"itemIdentifier": "m"}]}


def test_each_study_has_a_result_and_each_radiograph_a_report(deployed: Deployed) -> None:
    deployed.ask({STUDY_UID: [], OTHER: []})

    assert deployed.run(MESSAGE) == DONE
    assert {result["study_instance_uid"] for result in deployed.results} == {STUDY_UID, OTHER}
    verdicts = [image["verdict"] for result in deployed.results for image in result["images"]]
    assert sorted(verdicts) == ["classified", "classified", "skipped"]
    assert len(deployed.pacs.stored) == 2
    assert all("Not a medical device" in result["notice"] for result in deployed.results)


def test_only_the_instances_that_a_row_names_are_meant(deployed: Deployed) -> None:
    deployed.ask({STUDY_UID: [make_dx(number=1).SOPInstanceUID]})

    deployed.run(MESSAGE)
    (result,) = deployed.results
    assert [image["verdict"] for image in result["images"]] == ["classified"]


def test_an_instance_that_the_study_no_longer_has_is_named(deployed: Deployed) -> None:
    deployed.ask({OTHER: [uid("gone")]})

    deployed.run(MESSAGE)
    (image,) = deployed.results[0]["images"]
    assert (image["verdict"], image["sop_instance_uid"]) == ("failed", uid("gone"))


def test_rows_of_ingest_are_in_the_archives_table(deployed: Deployed) -> None:
    import boto3

    table = boto3.resource("dynamodb").create_table(
        TableName="archives",
        KeySchema=[{"AttributeName": "archive_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "archive_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    reference = f"{FROM_ARCHIVE}abc"
    for number, study in enumerate((STUDY_UID, OTHER)):
        table.put_item(Item={"archive_id": f"{reference}#{number}", "studies": {study: []}})

    assert deployed.run({"reference": reference, "rows": "2"}) == DONE
    assert len(deployed.results) == 2


def test_a_message_that_comes_again_asks_for_nothing_twice(deployed: Deployed) -> None:
    deployed.ask({STUDY_UID: [], OTHER: []})
    deployed.run(MESSAGE)
    stored, asked = dict(deployed.pacs.stored), list(deployed.pacs.asked)

    assert deployed.run(MESSAGE) == DONE
    assert (deployed.pacs.stored, deployed.pacs.asked) == (stored, asked)


def test_a_destination_that_is_down_keeps_no_result_and_the_message_comes_again(deployed: Deployed) -> None:
    deployed.ask({STUDY_UID: []})
    for says in ("down", "unknown"):
        deployed.pacs.says = says
        assert deployed.run(MESSAGE) == AGAIN
        assert deployed.results == []

    deployed.pacs.says = "stored"
    assert deployed.run(MESSAGE) == DONE
    assert len(deployed.results) == len(deployed.pacs.stored) == 1


def test_a_report_that_is_refused_for_good_is_said_to_be_not_stored(deployed: Deployed) -> None:
    deployed.ask({OTHER: []})
    deployed.pacs.says = "refused"

    assert deployed.run(MESSAGE) == DONE
    (result,) = deployed.results
    assert result["images"][0]["sr"]["sent"]["stored"] is False


def test_a_study_that_is_not_there_does_not_hold_up_the_others(deployed: Deployed) -> None:
    deployed.ask({uid("nowhere"): [], OTHER: []})

    assert deployed.run(MESSAGE) == DONE
    assert sorted(str((result["error"] or {}).get("reason")) for result in deployed.results) == [
        "None",
        "STUDY_NOT_FOUND",
    ]


def test_when_the_time_is_short_a_message_of_our_own_goes_on(deployed: Deployed) -> None:
    deployed.ask({STUDY_UID: []})

    assert deployed.run(MESSAGE, left_ms=NONE_LEFT) == DONE
    assert deployed.results == []
    assert [json.loads(body) for body in deployed.aws.messages(deployed.queue_url)] == [MESSAGE]


@pytest.mark.parametrize(
    "body",
    ["no JSON", {}, {"reference": "request#nobody", "rows": "1"}, {"reference": "x", "rows": "0"}],
    ids=["no_json", "empty", "no_row", "no_rows"],
)
def test_a_message_that_is_not_ours_is_not_taken(deployed: Deployed, body: Any) -> None:
    assert deployed.run(body) == AGAIN
    assert deployed.results == []


def test_without_a_model_nothing_is_done(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFY_MODEL", "")
    classify_settings.cache_clear()
    deployed.ask({STUDY_UID: []})

    assert deployed.run(MESSAGE) == AGAIN
    assert deployed.pacs.asked == []


def test_nothing_of_a_patient_or_study_is_in_the_logs_or_in_a_key(
    deployed: Deployed, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.ask({STUDY_UID: [], uid("nowhere"): []})
    with caplog.at_level(logging.DEBUG, "classify"):
        deployed.run(MESSAGE)

    keys = [entry["Key"] for entry in clients.s3().list_objects_v2(Bucket="results")["Contents"]]
    said = f"{caplog.text}{capsys.readouterr()}{keys}"
    for canary in ("CANARY", STUDY_UID, "CANARIO"):
        assert canary not in said
