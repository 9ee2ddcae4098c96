"""The whole system on this machine: a study becomes a PDF and a callback."""

from __future__ import annotations

import pytest
import urllib3

from infra.local import demo_study
from infra.local.stack import LocalStack
from tests.stack import Api, callback_path, pdf_of

pytestmark = pytest.mark.stack

IMAGES = 60 + 7 + 30
"""The phantom's slices, seven samples of one frame, and a cine of thirty."""
STUDY = str(demo_study.STUDY_INSTANCE_UID)


def test_a_study_becomes_a_pdf_and_a_callback(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    accepted = api.render(
        STUDY,
        local_stack.receiver.url(path),
        CodAutorizacao="A-1",
        CodFaturamento="F-1",
        Authorization="Bearer of the caller",
        IntegrationToken="token of the caller",
    )
    job = api.finished(accepted["job_id"])
    callback = local_stack.receiver.wait(path)

    assert job["state"] == "delivered"
    assert job["pages"] == IMAGES + 1
    assert callback.fields == {
        "examID": 7,
        "studyIUID": STUDY,
        "CodAutorizacao": "A-1",
        "CodFaturamento": "F-1-i",
        "CodProcedimento": None,
    }
    assert callback.headers["authorization"] == "Bearer of the caller"
    assert callback.headers["integrationtoken"] == "token of the caller"
    assert pdf_of(callback).startswith(b"%PDF-")


def test_sync_answers_the_pdf(api: Api) -> None:
    answer = api.request("POST", "/render/sync", json={"examID": 1, "pacs_studies_iuid": STUDY})

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.data.startswith(b"%PDF-")


def test_sync_of_an_unknown_study_is_404(api: Api) -> None:
    answer = api.request("POST", "/render/sync", json={"examID": 1, "pacs_studies_iuid": "1.2.3.4.5"})

    assert answer.status == 404
    assert answer.json()["code"] == "STUDY_NOT_FOUND"


def test_a_callback_that_fails_at_first_is_delivered_later(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    local_stack.receiver.fail_next(1)
    job_id = api.render(STUDY, local_stack.receiver.url(path))["job_id"]

    job = api.finished(job_id)

    assert job["state"] == "delivered"
    assert [each.answered for each in local_stack.receiver.callbacks if each.path == path] == [503, 200]


def test_the_emulators_own_endpoint_reaches_the_same_function(local_stack: LocalStack) -> None:
    """The route and the integration of the template, which the gateway on port 9000 does not use.

    By path: at its API's host name the emulator answers `/health` by itself.
    """
    api_id = local_stack.outputs["ApiId"]
    address = f"{local_stack.aws.endpoint_url}/_aws/execute-api/{api_id}/$default/health"
    answer = urllib3.request("GET", address, timeout=30)

    assert answer.status == 200
    assert answer.json()["status"] == "ok"
