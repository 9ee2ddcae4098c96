"""Who is told of an archive: the classifier of chest radiographs, the renderer, the operator's system."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from ponte_aws import clients
from ponte_aws.jobs import Jobs
from tests.factories import encode, make_dataset, set_pixels, uid
from tests.hazards.archives import archive
from tests.unit.zip_ingest.conftest import Inbox, archive_id_of
from zip_ingest import follow_ups
from zip_ingest.settings import ingest_settings

CR = ComputedRadiographyImageStorage
DX = DigitalXRayImageStorageForPresentation


def radiograph(sop_class_uid: str = CR, *, number: int = 1, **attributes: Any) -> FileDataset:
    made = make_dataset(sop_class_uid, number=number, Modality="CR", **attributes)
    set_pixels(made, np.zeros((8, 8), np.uint16))
    return made


@pytest.fixture
def classify(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Ingest these, and give what the classifier's queue holds then."""
    monkeypatch.setenv("CLASSIFY_QUEUE_URL", inbox.urls["classify"])
    ingest_settings.cache_clear()

    def run(*datasets: FileDataset) -> list[dict[str, Any]]:
        members = {f"{number}": encode(dataset) for number, dataset in enumerate(datasets)}
        arrived = inbox.put(archive(members))
        assert inbox.handle(arrived)["batchItemFailures"] == []
        return inbox.messages("classify")

    return run


def test_one_message_for_all_chest_radiographs_holds_no_uid_and_its_row_does(
    inbox: Inbox, classify: Callable[..., list[dict[str, Any]]]
) -> None:
    other = uid("another study")
    datasets = [
        radiograph(number=1, BodyPartExamined="CHEST"),
        radiograph(DX, number=2, BodyPartExamined="THORAX"),
        radiograph(number=3, StudyInstanceUID=other),
        radiograph(number=4, BodyPartExamined="KNEE"),
    ]
    (message,) = classify(*datasets)
    assert set(message) == {"reference", "rows"}
    table: Any = clients.table("archives")
    row = table.get_item(Key={"archive_id": f"{message['reference']}#0"})["Item"]
    assert row["studies"] == {
        datasets[0].StudyInstanceUID: [datasets[0].SOPInstanceUID, datasets[1].SOPInstanceUID],
        other: [datasets[2].SOPInstanceUID],
    }
    assert classify(*datasets) == []  # the same once more are duplicates


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")  # as it comes from machines
@pytest.mark.parametrize(
    "part",
    [
        "CHEST",
        "chest pa",
        "TORAX",
        "Tórax",
        "TÓRAX AP",
        "THORAX",
        "PECHO",
        "PULMÃO",
        "PULMON",
        "LUNG",
        "",
        None,
    ],
)
def test_a_chest_is_known_in_three_languages_and_an_unnamed_part_may_be_one(
    classify: Callable[..., list[dict[str, Any]]], part: str | None
) -> None:
    given: dict[str, Any] = {} if part is None else {"BodyPartExamined": part}
    assert len(classify(radiograph(**given))) == 1


@pytest.mark.parametrize(
    "dataset",
    [
        radiograph(BodyPartExamined="ABDOMEN"),
        radiograph(BodyPartExamined="MAO"),
        radiograph(CTImageStorage, BodyPartExamined="CHEST"),
        radiograph(DigitalXRayImageStorageForProcessing, BodyPartExamined="CHEST"),
        radiograph(SecondaryCaptureImageStorage, BodyPartExamined="CHEST"),
        make_dataset("1.2.840.10008.5.1.4.1.1.88.33", Modality="SR", BodyPartExamined="CHEST"),
    ],
    ids=["abdomen", "hand", "CT", "for processing", "secondary capture", "report"],
)
def test_what_is_no_chest_radiograph_never_comes_to_the_classifier(
    classify: Callable[..., list[dict[str, Any]]], dataset: FileDataset
) -> None:
    assert classify(dataset) == []


def test_many_references_go_into_several_rows_and_still_one_message(
    inbox: Inbox, classify: Callable[..., list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_ups, "_ROW_REFERENCES", 2)
    datasets = [radiograph(number=number) for number in range(1, 6)]
    (message,) = classify(*datasets)
    table: Any = clients.table("archives")
    rows = [
        table.get_item(Key={"archive_id": f"{message['reference']}#{number}"})["Item"]
        for number in range(int(message["rows"]))
    ]
    found = [one for row in rows for uids in row["studies"].values() for one in uids]
    assert found == [dataset.SOPInstanceUID for dataset in datasets]


def test_without_the_rule_nobody_is_asked_to_classify_or_to_render(inbox: Inbox) -> None:
    inbox.handle(inbox.put(archive({"1": encode(radiograph())})))
    assert inbox.messages("classify") == inbox.messages("render") == []


def test_each_ingested_study_gets_one_job_for_its_pdf(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDER_INGESTED", "true")
    other = uid("another study")
    members = [radiograph(number=1), radiograph(number=2), radiograph(number=3, StudyInstanceUID=other)]
    arrived = inbox.put(archive({str(n): encode(dataset) for n, dataset in enumerate(members)}))
    inbox.handle(arrived)
    messages = inbox.messages("render")
    jobs = [Jobs(inbox.aws.table).get(message["job_id"]) for message in messages]
    assert {job.request.study_instance_uid for job in jobs} == {members[0].StudyInstanceUID, other}
    assert {job.request.url_callback for job in jobs} == {None}
    # Killed before the row said that it was over: the same jobs are asked for again, no others.
    follow_ups._render(inbox.row(arrived), other, ingest_settings())
    (again,) = inbox.messages("render")
    assert again in messages


def test_a_notice_speaks_of_totals_and_reasons(inbox: Inbox) -> None:
    from zip_ingest.webhook import notice

    arrived = inbox.put(archive({"a": encode(radiograph()), "b": b"nothing"}), key="CANARY.zip")
    inbox.handle(arrived)
    said = notice(inbox.row(arrived))
    assert (said["archive_id"], said["verdict"]) == (archive_id_of(arrived), "partial")
    assert said["totals"]["reasons"] == {"NOT_DICOM": 1}
    assert said["report"] == f"reports/{said['archive_id']}.json"
    assert "CANARY" not in json.dumps(said, default=str)
