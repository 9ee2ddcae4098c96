from __future__ import annotations

from typing import Any

import pytest

from ponte_aws.deliveries import Deliveries
from ponte_aws.jobs import (
    Claim,
    Failure,
    IdempotencyConflict,
    Job,
    JobBusy,
    JobMoved,
    JobNotFound,
    Jobs,
    Pdf,
    RenderRequest,
    State,
    new_job_id,
)
from tests.unit.conftest import Aws

REQUEST = RenderRequest(exam_id=7, study_instance_uid="1.2.3", url_callback="https://client.example/cb")
PDF = Pdf(key="pdf/x.pdf", size_bytes=10, sha256="00", pages=3)


def create(aws: Aws, **kwargs: Any) -> Job:
    job, _ = aws.jobs.create(REQUEST, job_id=new_job_id(), secrets={}, retention_days=7, **kwargs)
    return job


def test_a_new_job_is_accepted_and_reads_back_as_it_was_asked(aws: Aws) -> None:
    job = create(aws)
    again = aws.jobs.get(job.job_id)
    assert again.state is State.ACCEPTED
    assert again.request == REQUEST
    assert again.expires_at > 0


def test_a_job_goes_through_all_states_and_keeps_its_history(aws: Aws) -> None:
    job_id = create(aws).job_id
    aws.jobs.begin(job_id, run="a", lease_seconds=60)
    aws.jobs.advance(job_id, State.RENDERING, run="a")
    aws.jobs.advance(job_id, State.STORING, run="a")
    job = aws.jobs.advance(job_id, State.DELIVERING, run="a", pdf=PDF, not_shown=[])
    assert job.pdf == PDF
    aws.jobs.finish(job_id, State.DELIVERED)
    history = aws.table.get_item(Key={"job_id": job_id})["Item"]["history"]
    assert [entry["state"] for entry in history] == [
        "accepted", "fetching", "rendering", "storing", "delivering", "delivered",
    ]  # fmt: skip


def test_a_second_worker_cannot_take_a_job_that_is_held(aws: Aws) -> None:
    job_id = create(aws).job_id
    aws.jobs.begin(job_id, run="a", lease_seconds=60)
    with pytest.raises(JobBusy):
        aws.jobs.begin(job_id, run="b", lease_seconds=60)


def test_a_worker_that_outlived_its_lease_can_change_nothing_more(aws: Aws) -> None:
    job_id = create(aws).job_id
    aws.jobs.begin(job_id, run="a", lease_seconds=-1)
    aws.jobs.begin(job_id, run="b", lease_seconds=60)
    with pytest.raises(JobMoved):
        aws.jobs.advance(job_id, State.RENDERING, run="a")
    with pytest.raises(JobMoved):
        aws.jobs.record_progress(job_id, run="a", instances=1)


def test_a_released_job_is_free_for_the_next_run(aws: Aws) -> None:
    job_id = create(aws).job_id
    aws.jobs.begin(job_id, run="a", lease_seconds=60)
    aws.jobs.release(job_id, run="a")
    assert aws.jobs.begin(job_id, run="b", lease_seconds=60).state is State.FETCHING


@pytest.mark.parametrize("final", [State.DELIVERED, State.FAILED, State.CANCELLED, State.EXPIRED])
def test_nothing_leaves_a_final_state(aws: Aws, final: State) -> None:
    job_id = create(aws).job_id
    aws.jobs.begin(job_id, run="a", lease_seconds=60)
    aws.jobs.advance(job_id, State.RENDERING, run="a")
    aws.jobs.advance(job_id, State.STORING, run="a")
    aws.jobs.finish(job_id, final)
    with pytest.raises(JobMoved):
        aws.jobs.begin(job_id, run="b", lease_seconds=60)
    with pytest.raises(JobMoved):
        aws.jobs.finish(job_id, State.FAILED)
    assert aws.jobs.get(job_id).state is final


def test_a_failed_job_says_why(aws: Aws) -> None:
    job_id = create(aws).job_id
    aws.jobs.finish(job_id, State.FAILED, error=Failure("STUDY_NOT_FOUND", "no such study"))
    assert aws.jobs.get(job_id).error == Failure("STUDY_NOT_FOUND", "no such study")


def test_secrets_are_deleted_at_the_final_state(aws: Aws) -> None:
    job, _ = aws.jobs.create(
        REQUEST, job_id=new_job_id(), secrets={"Authorization": b"sealed"}, retention_days=7
    )
    assert aws.jobs.get(job.job_id).secrets == {"Authorization": b"sealed"}
    aws.jobs.finish(job.job_id, State.FAILED)
    assert "secrets" not in aws.table.get_item(Key={"job_id": job.job_id})["Item"]


def test_secrets_stay_for_the_callback_of_a_failure_and_no_longer(aws: Aws) -> None:
    job, _ = aws.jobs.create(
        REQUEST, job_id=new_job_id(), secrets={"Authorization": b"sealed"}, retention_days=7
    )
    aws.jobs.finish(job.job_id, State.FAILED, keep_secrets=True)
    assert aws.jobs.get(job.job_id).secrets
    deliveries = Deliveries(aws.jobs)
    taken = deliveries.begin(job.job_id, 1, run="a", lease_seconds=60)
    deliveries.end(taken, run="a", attempt={"at": "now", "status": 200}, delivered=True)
    assert not aws.jobs.get(job.job_id).secrets


def test_the_same_idempotency_key_gives_the_same_job(aws: Aws) -> None:
    first = create(aws, claim=Claim.of_key("k", REQUEST))
    second, is_new = aws.jobs.create(
        REQUEST, job_id=new_job_id(), secrets={}, retention_days=7, claim=Claim.of_key("k", REQUEST)
    )
    assert second.job_id == first.job_id
    assert not is_new


def test_an_idempotency_key_used_for_another_request_is_refused(aws: Aws) -> None:
    create(aws, claim=Claim.of_key("k", REQUEST))
    other = RenderRequest(exam_id=8, study_instance_uid="1.2.3")
    with pytest.raises(IdempotencyConflict):
        aws.jobs.create(
            other, job_id=new_job_id(), secrets={}, retention_days=7, claim=Claim.of_key("k", other)
        )


def test_the_same_body_is_the_same_job_until_that_is_over_and_a_new_one_then(aws: Aws) -> None:
    first = create(aws, claim=Claim.of_body("m"))
    assert create(aws, claim=Claim.of_body("m")).job_id == first.job_id
    assert create(aws, claim=Claim.of_body("other")).job_id != first.job_id
    aws.jobs.finish(first.job_id, State.CANCELLED)
    second = create(aws, claim=Claim.of_body("m"))
    assert second.job_id != first.job_id
    assert create(aws, claim=Claim.of_body("m")).job_id == second.job_id


def test_a_key_outlives_its_job_where_a_body_does_not(aws: Aws) -> None:
    first = create(aws, claim=Claim.of_key("k", REQUEST))
    aws.jobs.finish(first.job_id, State.CANCELLED)
    assert create(aws, claim=Claim.of_key("k", REQUEST)).job_id == first.job_id


def test_a_claim_whose_job_is_gone_is_free_again(aws: Aws) -> None:
    for claim in (Claim.of_key("k", REQUEST), Claim.of_body("m")):
        first = create(aws, claim=claim)
        aws.table.delete_item(Key={"job_id": first.job_id})
        assert create(aws, claim=claim).job_id != first.job_id


def test_every_change_is_announced_after_it_is_durable(aws: Aws) -> None:
    seen: list[tuple[str, str]] = []

    def announce(job_id: str, state: State, _at: str) -> None:
        seen.append((state.value, aws.jobs.get(job_id).state.value))

    jobs = Jobs(aws.table, announce)
    job, _ = jobs.create(REQUEST, job_id=new_job_id(), secrets={}, retention_days=7)
    jobs.begin(job.job_id, run="a", lease_seconds=60)
    jobs.finish(job.job_id, State.CANCELLED)
    assert seen == [("accepted", "accepted"), ("fetching", "fetching"), ("cancelled", "cancelled")]


@pytest.mark.parametrize("job_id", ["nothing", "idempotency#abc"])
def test_a_job_that_is_not_there_is_an_error(aws: Aws, job_id: str) -> None:
    with pytest.raises(JobNotFound):
        aws.jobs.get(job_id)
    with pytest.raises((JobNotFound, JobMoved)):
        aws.jobs.begin(job_id, run="a", lease_seconds=1)
