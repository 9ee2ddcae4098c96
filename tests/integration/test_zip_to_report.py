"""The whole way: a ZIP in the inbox, its radiographs in a real Orthanc, their reports beside them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from classify import handler as classifier
from classify.settings import classify_settings
from infra.local.orthanc import AE_TITLE, Orthanc
from ponte_aws import clients
from tests.factories import encode, make_ct, uid
from tests.hazards.archives import archive
from tests.unit.classify.images import make_cr, make_dx
from tests.unit.classify.models import graph, manifest_json
from tests.unit.conftest import aws
from tests.unit.zip_ingest.conftest import Inbox, inbox, record
from zip_ingest import place, run
from zip_ingest.settings import ingest_settings

__all__ = ["aws", "inbox"]
pytestmark = pytest.mark.orthanc


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    with Orthanc(tmp_path / "orthanc", authenticate=False, dimse=True) as running:
        yield running


def modalities(orthanc: Orthanc) -> Counter[str]:
    found = urllib3.request("GET", f"{orthanc.url}/series?expand", retries=False).json()
    return Counter(
        tag for series in found for tag in [series["MainDicomTags"]["Modality"]] * len(series["Instances"])
    )


def results() -> list[dict[str, Any]]:
    """What the classifier keeps."""
    listed = clients.s3().list_objects_v2(Bucket="pdfs", Prefix="classify/")["Contents"]
    bodies = [clients.s3().get_object(Bucket="pdfs", Key=entry["Key"])["Body"] for entry in listed]
    return [json.loads(body.read()) for body in bodies]


def deploy(orthanc: Orthanc, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model in S3, ingest and reports by C-STORE, images by WADO-RS."""
    node = f"dicom://{AE_TITLE}@127.0.0.1:{orthanc.dicom_port}"
    clients.s3().create_bucket(Bucket="models")
    for name, body in (
        ("model.onnx", graph()),
        ("manifest.json", json.dumps(manifest_json(graph())).encode()),
    ):
        clients.s3().put_object(Bucket="models", Key=f"chest/1/{name}", Body=body)
    environment = {
        "STAGE": "local",
        "INGEST_DESTINATION": node,
        "CLASSIFY_QUEUE_URL": inbox.urls["classify"],
        "CLASSIFY_MODEL": "s3://models/chest/1",
        "CLASSIFY_DESTINATION": node,
        "DICOM_WADO_URL": orthanc.dicomweb_url,
        "RESULT_BUCKET": "pdfs",
        "JOBS_TABLE": "jobs",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run, "open_route", place.open_route)
    for cached in (ingest_settings, classify_settings, classifier.loaded_model):
        cached.cache_clear()


def test_a_zip_in_the_inbox_ends_as_reports_in_the_pacs_and_a_repeat_adds_nothing(
    orthanc: Orthanc, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(orthanc, inbox, monkeypatch)
    other = uid("another study")
    exams = [make_dx(number=1), make_cr(number=2, StudyInstanceUID=other), make_ct(number=3)]
    lateral = make_dx(number=4, ViewPosition="LL")
    arrived = inbox.put(archive({f"{n}": encode(d) for n, d in enumerate([*exams, lateral])}))

    assert inbox.handle(arrived) == {"batchItemFailures": []}
    (message,) = inbox.messages("classify")
    context: Any = type("Context", (), {"get_remaining_time_in_millis": lambda _: 900_000})()
    for _ in range(2):
        answer = classifier.handler({"Records": [record(message)]}, context)
        assert answer == {"batchItemFailures": []}
        assert modalities(orthanc) == {"DX": 2, "CR": 1, "CT": 1, "SR": 2}

    listed = clients.s3().list_objects_v2(Bucket="pdfs", Prefix="classify/")["Contents"]
    results = [
        json.loads(clients.s3().get_object(Bucket="pdfs", Key=o["Key"])["Body"].read()) for o in listed
    ]
    images = [image for result in results for image in result["images"]]
    assert Counter((image["verdict"], image["reason"]) for image in images) == {
        ("classified", None): 2,
        ("skipped", "NOT_FRONTAL"): 1,
    }
    assert all(image["sr"]["sent"]["stored"] for image in images if image["sr"])
