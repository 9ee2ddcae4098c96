"""The part of a job's row that says how its caller is told: whose turn it is, and how each attempt went.

Attempts are numbered over the job's whole life, and a message names the one that it is for. So a message that
comes twice, late, or after the job was sent anew finds that it is not its turn, and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from ponte_aws.jobs import Failure, Job, JobBusy, JobFinished, JobMoved, Jobs, State, moved

ATTEMPTS_KEPT = 50
_FREE = "(attribute_not_exists(delivery_until) OR delivery_until < :now)"
_LEASE = ("delivery_run", "delivery_until", "delivery_begins")
_TELLING = (State.DELIVERING, State.FAILED, State.DELIVERED)


class Deliveries:
    """Conditional writes to the rows of `jobs`."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def begin(self, job_id: str, turn: int, *, run: str, lease_seconds: int) -> Job:
        """Take the turn for one run of the function, for as long as the lease.

        Raises `JobMoved` when that turn is over or nobody is owed anything, `JobBusy` while another run has
        it or the turn before it is not written yet, `JobNotFound`.
        """
        moment = int(time.time())
        try:
            return self._update(
                job_id,
                "SET delivery_run = :run, delivery_until = :until,"
                " delivery_begins = if_not_exists(delivery_begins, :zero) + :one",
                f"owed = :owed AND turn = :turn AND #state IN (:s0, :s1, :s2) AND {_FREE}",
                {
                    ":run": run,
                    ":until": moment + lease_seconds,
                    ":owed": True,
                    ":turn": turn,
                    ":now": moment,
                    ":zero": 0,
                    ":one": 1,
                    **{f":s{i}": state.value for i, state in enumerate(_TELLING)},
                },
            )
        except JobMoved:
            raise self._why_not(job_id, turn) from None

    def _why_not(self, job_id: str, turn: int) -> JobMoved | JobBusy:
        row: Mapping[str, Any] = self._jobs.table.get_item(Key={"job_id": job_id}, ConsistentRead=True).get(
            "Item", {}
        )
        if not row.get("owed") or int(row.get("turn", 0)) > turn or row["state"] not in _TELLING:
            return JobMoved("it is not this attempt's turn any more")
        left = max(int(row.get("delivery_until", 0)) - int(time.time()), 0) + 1
        if int(row["turn"]) < turn:
            return JobBusy("the attempt before is not written yet", wait_s=left)
        return JobBusy("another run has this attempt", wait_s=left)

    def release(self, job_id: str, *, run: str) -> None:
        """Give the turn back, as if it had not been taken: for a fault of ours that a retry may mend."""
        self._update(job_id, "REMOVE delivery_run, delivery_until", "delivery_run = :run", {":run": run})

    def put_off(self, job: Job, *, run: str, attempt: Mapping[str, Any], next_at: str) -> Job:
        """Write an attempt that failed and will be followed by another. Raises `JobMoved` when not ours."""
        values = _after(job, attempt, next_at=next_at)
        return self._write(job, run, values)

    def end(
        self,
        job: Job,
        *,
        run: str,
        attempt: Mapping[str, Any],
        delivered: bool,
        state: State = State.FAILED,
        error: Failure | None = None,
    ) -> Job:
        """Write the attempt that was the last: the caller has it, or nobody will try again.

        A job that waited for it becomes `delivered`, or else `state` with the reason; one that had ended
        before stays what it is. Raises `JobMoved` when the turn is not ours.
        """
        values = {**_after(job, attempt, ended=True, delivered=delivered), "owed": False}
        if job.state is not State.DELIVERING:
            return self._write(job, run, values, "secrets")
        return self._jobs.move(
            job.job_id,
            State.DELIVERED if delivered else state,
            condition="delivery_run = :run",
            values={":run": run},
            attributes=values if delivered else {**values, "error": error},
            removes=(*_LEASE, "secrets"),
        )

    def replay(self, job: Job, secrets: Mapping[str, bytes]) -> Job:
        """Begin a schedule of its own with the next turn, at once; the caller's secrets may be given anew.

        Raises `JobFinished` for a job without anything to deliver, `JobBusy` while an attempt is under way or
        the job is not done.
        """
        if job.request.url_callback is None or job.state in {State.CANCELLED, State.EXPIRED}:
            raise JobFinished(f"the job is {job.state.value} and has nothing to deliver")
        if job.state not in _TELLING:
            raise JobBusy("the job is not done yet")
        try:
            if job.state is State.FAILED and job.pdf is not None:
                return self._reopen(job, secrets)
            return self._again(job, secrets)
        except JobMoved:
            raise JobBusy("an attempt is under way at this moment") from None

    def _reopen(self, job: Job, secrets: Mapping[str, bytes]) -> Job:
        """A job that failed over its delivery alone: it waits for it once more."""
        attributes = {"owed": True, "turn": job.turn + 1, "round_turn": job.turn + 1, "callback": {}}
        return self._jobs.move(
            job.job_id,
            State.DELIVERING,
            before={State.FAILED},
            condition="turn = :turn",
            values={":turn": job.turn},
            attributes={**attributes, **({"secrets": dict(secrets)} if secrets else {})},
        )

    def _again(self, job: Job, secrets: Mapping[str, bytes]) -> Job:
        expression = "SET owed = :owed, turn = :next, round_turn = :next, callback = :callback"
        if secrets:
            expression += ", secrets = :secrets"
        return self._update(
            job.job_id,
            expression,
            f"turn = :turn AND #state = :state AND {_FREE}",
            {
                ":owed": True,
                ":next": job.turn + 1,
                ":callback": {},
                ":turn": job.turn,
                ":state": job.state.value,
                ":now": int(time.time()),
                **({":secrets": dict(secrets)} if secrets else {}),
            },
        )

    def _write(self, job: Job, run: str, values: Mapping[str, Any], *removes: str) -> Job:
        sets = ", ".join(f"{name} = :{name}" for name in values)
        return self._update(
            job.job_id,
            f"SET {sets} REMOVE {', '.join((*_LEASE, *removes))}",
            "delivery_run = :run",
            {":run": run, **{f":{name}": value for name, value in values.items()}},
        )

    def _update(self, job_id: str, expression: str, condition: str, values: dict[str, Any]) -> Job:
        names = {"ExpressionAttributeNames": {"#state": "state"}} if "#state" in condition else {}
        try:
            answer = self._jobs.table.update_item(
                Key={"job_id": job_id},
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                **names,  # type: ignore[arg-type]
            )
        except ClientError as error:
            raise moved(error) from error
        return Job.from_item(answer["Attributes"])


def _after(job: Job, attempt: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What the row says after an attempt: the summary, the log with it, and the next turn."""
    entry = {name: value for name, value in {"attempt": job.turn, **attempt}.items() if value is not None}
    summary = {
        "attempts": job.turn - job.round_turn + 1,
        "status": entry.get("status"),
        "last_error": entry.get("detail"),
        "at": entry["at"],
        **more,
    }
    return {
        "turn": job.turn + 1,
        "attempts": [*(dict(one) for one in job.attempts), entry][-ATTEMPTS_KEPT:],
        "callback": {name: value for name, value in summary.items() if value is not None},
    }
