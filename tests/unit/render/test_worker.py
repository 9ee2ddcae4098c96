from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.local.process import wait_for
from ponte.errors import SourceUnavailable, StudyNotFound
from ponte_aws import clients
from ponte_aws.jobs import Job, Jobs, RenderRequest, State, new_job_id
from render import study as study_module
from render import worker
from render.settings import worker_settings
from tests.factories import STUDY_UID, encode, make_ct, make_report
from tests.unit.conftest import Aws

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)


@pytest.fixture
def study(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three slices as the worker's source."""
    for number in (1, 2, 3):
        (tmp_path / f"{number}.dcm").write_bytes(encode(make_ct(number)))
    monkeypatch.setenv("DICOM_WADO_URL", tmp_path.as_uri())
    monkeypatch.setenv("MAX_ATTEMPTS", "3")
    worker_settings.cache_clear()
    return tmp_path


def make_job(
    aws: Aws, *, study_uid: str = STUDY_UID, url: str | None = "https://client.example/", **more: Any
) -> Job:
    request = RenderRequest(exam_id=7, study_instance_uid=study_uid, url_callback=url, **more)
    job, _ = aws.jobs.create(request, job_id=new_job_id(), secrets={}, retention_days=7)
    return job


def work(job_id: str, *, receive_count: int = 1) -> list[dict[str, str]]:
    record = {
        "messageId": "m",
        "receiptHandle": "r",
        "attributes": {"ApproximateReceiveCount": str(receive_count)},
        "body": json.dumps({"job_id": job_id}),
    }
    answer: list[dict[str, str]] = worker.handler({"Records": [record]}, CONTEXT)["batchItemFailures"]
    return answer


def states(aws: Aws, job_id: str) -> list[str]:
    return [entry["state"] for entry in aws.table.get_item(Key={"job_id": job_id})["Item"]["history"]]


def test_a_study_becomes_a_stored_pdf_and_a_message_for_the_callback(aws: Aws, study: Path) -> None:
    job_id = make_job(aws).job_id
    assert work(job_id) == []
    job = aws.jobs.get(job_id)
    assert states(aws, job_id) == ["accepted", "fetching", "rendering", "storing", "delivering"]
    assert job.pdf
    stored = clients.s3().get_object(Bucket=aws.bucket, Key=f"pdf/{job_id}.pdf")["Body"].read()
    assert stored.startswith(b"%PDF-")
    assert (job.pdf.size_bytes, job.pdf.pages, job.progress["frames"]) == (len(stored), 4, 3)
    assert job.progress["total"] == job.progress["instances"] == 3
    assert aws.messages(aws.callback_queue_url) == [json.dumps({"job_id": job_id})]


def test_a_job_that_nobody_waits_for_at_a_callback_is_delivered_when_stored(aws: Aws, study: Path) -> None:
    job_id = make_job(aws, url=None, cover_page=False).job_id
    assert work(job_id) == []
    job = aws.jobs.get(job_id)
    assert (job.state, job.pdf and job.pdf.pages) == (State.DELIVERED, 3)
    assert aws.messages(aws.callback_queue_url) == []


def test_what_could_not_be_shown_makes_the_job_partial_and_is_named(aws: Aws, study: Path) -> None:
    (study / "report.dcm").write_bytes(encode(make_report()))
    job_id = make_job(aws).job_id
    work(job_id)
    job = aws.jobs.get(job_id)
    assert job.partial
    assert [entry["reason"] for entry in job.not_shown] == ["NOT_AN_IMAGE"]


def test_a_study_that_is_not_there_fails_at_once_with_its_reason_and_calls_back(
    aws: Aws, study: Path
) -> None:
    job_id = make_job(aws, study_uid="1.2.3.4").job_id
    assert work(job_id) == []
    job = aws.jobs.get(job_id)
    assert (job.state, job.error and job.error.code) == (State.FAILED, "STUDY_NOT_FOUND")
    assert len(aws.messages(aws.callback_queue_url)) == 1


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def render_study(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(worker, "render_study", render_study)


def test_a_pacs_that_is_down_is_tried_again_and_fails_the_job_at_the_last_attempt(
    aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, SourceUnavailable("no connection"))
    job_id = make_job(aws).job_id
    assert work(job_id, receive_count=1) != []
    assert work(job_id, receive_count=2) != []
    assert aws.jobs.get(job_id).state is State.FETCHING
    assert work(job_id, receive_count=3) == []
    job = aws.jobs.get(job_id)
    assert (job.state, job.error and job.error.code) == (State.FAILED, "PACS_ERROR")
    assert len(aws.messages(aws.callback_queue_url)) == 1


def test_a_job_that_somebody_waits_for_is_tried_once(
    aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, SourceUnavailable("no connection"))
    job_id = make_job(aws, url=None).job_id
    assert work(job_id) == []
    assert aws.jobs.get(job_id).state is State.FAILED


def test_a_worker_that_was_killed_every_time_fails_the_job_in_the_end(aws: Aws, study: Path) -> None:
    job_id = make_job(aws).job_id
    for _ in range(3):
        aws.jobs.begin(job_id, run="killed", lease_seconds=-1)
    assert work(job_id) == []
    failed = aws.jobs.get(job_id)
    assert (failed.state, failed.error and failed.error.code) == (State.FAILED, "MEMORY")


def test_a_message_that_was_received_often_and_never_run_costs_no_attempt(aws: Aws, study: Path) -> None:
    job_id = make_job(aws).job_id
    assert work(job_id, receive_count=25) == []
    assert aws.jobs.get(job_id).state is State.DELIVERING


def test_fi_18_a_worker_that_was_killed_in_the_middle_is_replaced_and_leaves_one_object(
    aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies with the PDF stored and the row not written; its lease ends, and the next does it over."""
    job_id = make_job(aws).job_id
    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "advance", die_at(State.DELIVERING))
        with pytest.raises(pytest.fail.Exception):
            work(job_id)
    assert work(job_id, receive_count=2) == [{"itemIdentifier": "m"}]  # its lease still counts
    aws.table.update_item(
        Key={"job_id": job_id},
        UpdateExpression="SET lease_until = :past",
        ExpressionAttributeValues={":past": 0},
    )
    assert work(job_id, receive_count=2) == []
    keys = [entry["Key"] for entry in clients.s3().list_objects_v2(Bucket=aws.bucket)["Contents"]]
    assert keys == [f"pdf/{job_id}.pdf"]
    assert aws.jobs.get(job_id).state is State.DELIVERING
    assert len(aws.messages(aws.callback_queue_url)) == 1


def die_at(state: State) -> Any:
    """`Jobs.advance`, which ends the function where it would write that state."""
    advance = Jobs.advance

    def die(jobs: Jobs, job_id: str, to: State, **more: Any) -> Job:
        if to is state:
            pytest.fail("killed here")
        return advance(jobs, job_id, to, **more)

    return die


def test_a_fault_of_ours_comes_again_and_leaves_the_job_free(
    aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make_job(aws).job_id
    with monkeypatch.context() as patch:
        fail_with(patch, RuntimeError("a fault of ours"))
        assert work(job_id) != []
    assert work(job_id, receive_count=2) == []
    assert aws.jobs.get(job_id).state is State.DELIVERING


def test_the_lease_is_prolonged_while_the_work_goes_on(
    aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "1")
    worker_settings.cache_clear()
    job_id = make_job(aws).job_id
    leases = set[int]()

    def slow(*args: Any, **kwargs: Any) -> Any:
        def prolonged() -> bool:
            leases.add(int(aws.table.get_item(Key={"job_id": job_id})["Item"]["lease_until"]))
            return len(leases) > 2

        wait_for(prolonged, timeout_s=20, msg="the lease was not prolonged")
        return study_module.render_study(*args, **kwargs)

    monkeypatch.setattr(worker, "render_study", slow)
    assert work(job_id) == []
    assert aws.jobs.get(job_id).state is State.DELIVERING


def test_a_job_that_another_worker_holds_is_left_alone_and_comes_again(aws: Aws, study: Path) -> None:
    job_id = make_job(aws).job_id
    aws.jobs.begin(job_id, run="other", lease_seconds=60)
    assert work(job_id) == [{"itemIdentifier": "m"}]
    assert states(aws, job_id) == ["accepted", "fetching"]


def test_a_message_that_comes_after_the_work_only_hands_the_job_on(aws: Aws, study: Path) -> None:
    job_id = make_job(aws).job_id
    work(job_id)
    before = aws.jobs.get(job_id).updated_at
    assert work(job_id, receive_count=2) == []
    assert aws.jobs.get(job_id).updated_at == before
    assert len(aws.messages(aws.callback_queue_url)) == 2


def test_a_cancelled_job_is_not_begun(aws: Aws, study: Path) -> None:
    job_id = make_job(aws).job_id
    aws.jobs.finish(job_id, State.CANCELLED)
    assert work(job_id) == []
    assert aws.jobs.get(job_id).state is State.CANCELLED


def test_a_job_whose_time_is_over_is_not_rendered_any_more(aws: Aws, study: Path) -> None:
    job_id = make_job(aws).job_id
    aws.table.update_item(
        Key={"job_id": job_id},
        UpdateExpression="SET expires_at = :past",
        ExpressionAttributeValues={":past": 1},
    )
    assert work(job_id) == []
    assert aws.jobs.get(job_id).state is State.EXPIRED
    assert aws.messages(aws.callback_queue_url) == []


def test_a_job_that_is_cancelled_in_the_middle_ends_there(
    aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make_job(aws).job_id

    def cancel_and_go_on(*args: Any, **kwargs: Any) -> Any:
        aws.jobs.cancel(job_id)
        return study_module.render_study(*args, **kwargs)

    monkeypatch.setattr(worker, "render_study", cancel_and_go_on)
    assert work(job_id) == [{"itemIdentifier": "m"}]
    assert work(job_id, receive_count=2) == []
    assert aws.jobs.get(job_id).state is State.CANCELLED
    assert aws.messages(aws.callback_queue_url) == []
    assert "Contents" not in clients.s3().list_objects_v2(Bucket=aws.bucket)


def test_a_folder_is_no_source_in_the_cloud(aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "prod")
    worker_settings.cache_clear()
    job_id = make_job(aws, url=None).job_id
    work(job_id)
    assert (job := aws.jobs.get(job_id)).state is State.FAILED
    assert job.error
    assert job.error.code == "PACS_ERROR"


def test_nothing_of_the_patient_is_in_log_queue_or_key(
    aws: Aws, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "report.dcm").write_bytes(encode(make_report()))
    (study / "cut.dcm").write_bytes(encode(make_ct(9))[:-1000])
    job_id = make_job(aws).job_id
    work(job_id)
    fail = make_job(aws, study_uid="1.2.3.4").job_id
    work(fail)
    keys = [entry["Key"] for entry in clients.s3().list_objects_v2(Bucket=aws.bucket)["Contents"]]
    seen = "".join(capsys.readouterr()) + repr(keys) + repr(aws.messages(aws.callback_queue_url))
    for canary in ("CANAR", "Concei", "19700102", STUDY_UID):
        assert canary not in seen


def test_the_lease_is_free_again_after_a_failure_that_a_retry_may_mend(
    aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make_job(aws).job_id
    with monkeypatch.context() as patch:
        fail_with(patch, SourceUnavailable("down"))
        work(job_id)
    assert work(job_id, receive_count=2) == []
    assert aws.jobs.get(job_id).state is State.DELIVERING


def test_a_permanent_refusal_is_not_retried(aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, StudyNotFound("gone"))
    job_id = make_job(aws).job_id
    assert work(job_id) == []
    assert aws.jobs.get(job_id).state is State.FAILED


def test_the_total_is_in_the_row_while_images_are_rendered(
    aws: Aws, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[dict[str, int]] = []

    def note(self: Jobs, job_id: str, *, run: str, **counts: int) -> None:
        recorded.append(counts)

    monkeypatch.setattr(Jobs, "record_progress", note)
    assert work(make_job(aws).job_id) == []
    assert recorded[0]["total"] == 3
