"""The deployed functions with everything around them real: what goes right, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from infra.local import demo_study
from infra.local.faults import kill, processes_of
from infra.local.process import wait_for
from infra.local.stack import LocalStack
from ponte.folder import FolderSource
from tests.stack import Api, callback_path, pdf_of

pytestmark = pytest.mark.stack

STUDY = str(demo_study.STUDY_INSTANCE_UID)
NAME_PARTS = ("Concei", "Dores")


@contextmanager
def function_with(stack: LocalStack, output: str, **variables: str) -> Iterator[None]:
    """One deployed function with other variables, until the block ends."""
    lambdas, name = stack.aws.functions, stack.outputs[output]
    before = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    lambdas.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**before, **variables}}
    )
    try:
        yield
    finally:
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@contextmanager
def pacs_stub(
    content_type: str, body: bytes, *, stall_first: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every GET with the same body; its URL, and the paths that were asked for.

    With `stall_first` the first answer stops in the middle, and goes no further.
    """
    asked: list[str] = []
    closing = threading.Event()

    class Stub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "StudyInstanceUID=" in self.path:  # how many instances there are: it does not say
                self.send_error(501)
                return
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if stall_first and len(asked) == 1:
                self.wfile.write(body[: len(body) // 2])
                closing.wait(60)
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def sync(api: Api, study_instance_uid: str = STUDY, **fields: Any) -> urllib3.BaseHTTPResponse:
    body = {"examID": 1, "pacs_studies_iuid": study_instance_uid} | fields
    return api.request("POST", "/render/sync", json=body)


def text_of(pdf: bytes, tmp_path: Path) -> str:
    path = tmp_path / "document.pdf"
    path.write_bytes(pdf)
    subprocess.run(["qpdf", "--check", str(path)], check=True, capture_output=True)
    return subprocess.run(
        ["pdftotext", "-layout", str(path), "-"], check=True, capture_output=True, text=True
    ).stdout


def test_the_same_request_sent_twice_with_its_key_is_one_job_and_one_callback(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    body = {"examID": 7, "pacs_studies_iuid": STUDY, "UrlCallback": local_stack.receiver.url(path)}
    answers = [
        api.request("POST", "/render", json=body, headers={"Idempotency-Key": "once-only"}).json()
        for _ in range(2)
    ]
    assert answers[0]["job_id"] == answers[1]["job_id"]
    assert api.finished(answers[0]["job_id"])["state"] == "delivered"
    third = api.request("POST", "/render", json=body, headers={"Idempotency-Key": "once-only"}).json()
    assert third["job_id"] == answers[0]["job_id"]
    assert len(local_stack.receiver.accepted(path)) == 1


def test_a_poison_message_reaches_the_dead_letters_and_the_next_job_is_done(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    sqs, outputs = local_stack.aws.sqs, local_stack.outputs
    poison = json.dumps({"job_id": None, "mark": request.node.name})
    sqs.send_message(QueueUrl=outputs["RenderQueueUrl"], MessageBody=poison)
    found: list[str] = []

    def arrived() -> bool:
        answer = sqs.receive_message(QueueUrl=outputs["RenderDeadLetterUrl"], MaxNumberOfMessages=10)
        found.extend(message["Body"] for message in answer.get("Messages", []))
        return poison in found

    wait_for(arrived, timeout_s=90, msg="the poison message did not reach the dead letters")
    assert sync(api).status == 200


def test_a_study_that_does_not_exist_fails_its_job_and_tells_the_caller(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    accepted = api.render("1.2.3.4.5.6", local_stack.receiver.url(path), CodFaturamento="F")
    job = api.finished(accepted["job_id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "STUDY_NOT_FOUND")
    callback = local_stack.receiver.wait(path)
    assert callback.pdf is None
    assert callback.fields["status"] == "failed"
    assert callback.fields["error"]["code"] == "STUDY_NOT_FOUND"
    assert callback.fields["CodFaturamento"] == "F-i"


def test_a_pacs_that_is_down_is_502_on_sync_and_a_failed_job_with_its_reason_otherwise(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    with function_with(local_stack, "WorkerFunction", DICOM_WADO_URL="http://127.0.0.1:9/dicom-web"):
        answer = sync(api)
        assert (answer.status, answer.json()["code"]) == (502, "PACS_ERROR")
        job = api.finished(api.render(STUDY, local_stack.receiver.url(path))["job_id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "PACS_ERROR")
    assert local_stack.receiver.wait(path).fields["error"]["code"] == "PACS_ERROR"


def test_a_login_page_in_place_of_images_is_an_error_and_never_an_empty_pdf(
    local_stack: LocalStack, api: Api
) -> None:
    with (
        pacs_stub("text/html", b"<html>please log in</html>") as (url, _),
        function_with(local_stack, "WorkerFunction", DICOM_WADO_URL=url),
    ):
        answer = sync(api)
    assert (answer.status, answer.json()["code"]) == (502, "PACS_ERROR")


@pytest.mark.skipif(
    not Path("/proc").is_dir(), reason="needs Linux: it finds the function's process in /proc"
)
def test_a_worker_that_is_killed_in_the_middle_is_replaced_and_the_caller_hears_once(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if local_stack.options.endpoint_url:
        pytest.skip("needs the functions' processes on this machine")
    path = callback_path(request)
    body = multipart_of_demo_study(tmp_path)
    with (
        pacs_stub('multipart/related; type="application/dicom"; boundary=cut', body, stall_first=True) as (
            url,
            asked,
        ),
        function_with(local_stack, "WorkerFunction", DICOM_WADO_URL=url, LEASE_SECONDS="2"),
    ):
        job_id = api.render(STUDY, local_stack.receiver.url(path))["job_id"]
        wait_for(lambda: bool(asked), timeout_s=30, msg="the worker did not ask for the study")
        assert api.job(job_id)["state"] == "fetching"
        workers = processes_of(local_stack, local_stack.outputs["WorkerFunction"])
        assert sum(kill(process) for process in workers) > 0
        job = api.finished(job_id)
    assert (job["state"], len(asked)) == ("delivered", 2)
    assert len(local_stack.receiver.accepted(path)) == 1


def multipart_of_demo_study(folder: Path) -> bytes:
    """Three instances of the demo study as a server sends them, with the boundary `cut`."""
    demo_study.write(folder / "study")
    parts = [fetched.data for fetched in FolderSource(folder / "study").instances(STUDY)][:3]
    head = b"--cut\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + part + b"\r\n" for part in parts) + b"--cut--\r\n"


def test_an_address_template_is_asked_with_the_study(
    local_stack: LocalStack, api: Api, tmp_path: Path
) -> None:
    body = multipart_of_demo_study(tmp_path)
    with (
        pacs_stub('multipart/related; type="application/dicom"; boundary=cut', body) as (url, asked),
        function_with(
            local_stack, "WorkerFunction", DICOM_WADO_URL=url + "/client-api/patients?studyUID={study}"
        ),
    ):
        answer = sync(api)
    assert answer.status == 200
    assert [parse_qs(urlsplit(path).query) for path in asked] == [{"studyUID": [STUDY]}]


def test_a_folder_is_a_source_on_this_machine(local_stack: LocalStack, api: Api, tmp_path: Path) -> None:
    demo_study.write(tmp_path / "study")
    with function_with(local_stack, "WorkerFunction", DICOM_WADO_URL=(tmp_path / "study").as_uri()):
        answer = sync(api, cover_page=True)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/pdf")


def test_only_listed_clients_get_in(local_stack: LocalStack, api: Api) -> None:
    spoof = {"X-Forwarded-For": "10.9.9.9"}
    with function_with(local_stack, "ApiFunction", ALLOWED_CLIENT_IPS="10.9.9.9"):
        answer = api.request("GET", "/jobs/none", headers=spoof)
        assert (answer.status, answer.json()["code"]) == (403, "CLIENT_NOT_ALLOWED")
        assert api.request("GET", "/health").json()["ip_validation"] == "enabled"
    with function_with(local_stack, "ApiFunction", ALLOWED_CLIENT_IPS="127.0.0.0/8"):
        assert api.request("GET", "/jobs/none").status == 404


def test_the_log_api_hears_of_every_state_and_its_being_down_touches_no_job(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    with function_with(local_stack, "ReportFunction", CREATE_LOG_URL=local_stack.receiver.url("/log")):
        job_id = api.render(STUDY, local_stack.receiver.url(path))["job_id"]
        api.finished(job_id)

        def states() -> set[str]:
            entries = [each.fields for each in local_stack.receiver.accepted("/log")]
            return {entry["state"] for entry in entries if entry["job_id"] == job_id}

        wanted = {"accepted", "fetching", "rendering", "storing", "delivering", "delivered"}
        wait_for(lambda: states() == wanted, timeout_s=60, msg="the log API did not hear of every state")
    down = api.render(STUDY, local_stack.receiver.url(path))["job_id"]
    assert api.finished(down)["state"] == "delivered"


@pytest.mark.pdftools
def test_the_pdf_says_whose_it_is_and_anonymize_says_nothing(
    local_stack: LocalStack, api: Api, tmp_path: Path
) -> None:
    named = text_of(sync(api, cover_page=True).data, tmp_path)
    bare = sync(api, cover_page=True, anonymize=True).data
    assert all(part in named for part in NAME_PARTS)
    text = text_of(bare, tmp_path)
    assert not any(part in text for part in NAME_PARTS)
    assert STUDY not in text
    assert not any(part.encode() in bare for part in (*NAME_PARTS, STUDY))


def test_the_link_of_a_job_gives_the_document_that_the_row_describes(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    job = api.finished(api.render(STUDY, local_stack.receiver.url(path))["job_id"])
    linked = urllib3.request("GET", job["links"]["pdf"], timeout=30).data
    delivered = pdf_of(local_stack.receiver.wait(path))
    assert hashlib.sha256(linked).digest() == hashlib.sha256(delivered).digest()
    assert urlsplit(job["links"]["pdf"]).path.endswith(f"/pdf/{job['job_id']}.pdf")


def test_queues_and_logs_hold_nothing_of_the_patient_and_no_secret(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    api.finished(
        api.render(STUDY, local_stack.receiver.url(path), Authorization="Bearer canary-secret")["job_id"]
    )
    rows = local_stack.aws.dynamodb.scan(TableName=local_stack.outputs["JobsTable"])["Items"]
    assert "canary-secret" not in repr(rows)
    logged = "".join(log_lines(local_stack))
    assert "study rendered" in logged
    assert STUDY not in logged
    seen = repr(rows) + logged
    assert "canary-secret" not in seen
    assert not any(part in seen for part in NAME_PARTS)


def log_lines(stack: LocalStack) -> Iterator[str]:
    """All that the functions logged."""
    logs = stack.aws.logs
    for group in logs.describe_log_groups()["logGroups"]:
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]:
            yield event["message"]
