"""The job row: the one truth on a job.

Every change of state is a conditional write, so that a message delivered twice, a worker that outlived its
lease or a late answer can never take a job back or finish it twice.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ponte.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

Item = Mapping[str, Any]


class State(StrEnum):
    """Where a job is."""

    ACCEPTED = "accepted"
    FETCHING = "fetching"
    RENDERING = "rendering"
    STORING = "storing"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


FINAL = frozenset({State.DELIVERED, State.FAILED, State.EXPIRED, State.CANCELLED})
WORKING = frozenset({State.ACCEPTED, State.FETCHING, State.RENDERING, State.STORING})
_BEFORE: Mapping[State, Collection[State]] = {
    State.FETCHING: WORKING,
    State.RENDERING: {State.FETCHING},
    State.STORING: {State.RENDERING},
    State.DELIVERING: {State.STORING},
    State.DELIVERED: {State.STORING, State.DELIVERING},
    State.FAILED: {*WORKING, State.DELIVERING},
    State.EXPIRED: {*WORKING, State.DELIVERING},
    State.CANCELLED: {*WORKING, State.DELIVERING},
}
NOT_SHOWN_KEPT = 200
KEPT = "kept"
CLAIM_TRIES = 5


class JobNotFound(PermanentError):
    """No row has this id: it never existed, or its time is over."""

    default_code = "JOB_NOT_FOUND"


class JobMoved(PermanentError):
    """The job is not in a state from which this change is allowed: somebody else took it further."""

    default_code = "JOB_MOVED"


class JobBusy(TransientError):
    """Somebody else holds the job; `wait_s` says for how long at most, where that is known."""

    default_code = "JOB_BUSY"

    def __init__(self, detail: str, *, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self.wait_s = wait_s


class JobFinished(PermanentError):
    """The job is over: what is asked can no longer be done with it."""

    default_code = "JOB_FINISHED"


class IdempotencyConflict(PermanentError):
    """The Idempotency-Key was used before, for another request."""

    default_code = "IDEMPOTENCY_CONFLICT"


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """What the caller asked for. His secrets are not here: see `Job.secrets`.

    `delivery` is `inline` (the PDF travels in the callback), `link`, or `KEPT` where nobody waits. From
    `layout` on, how the pages are to be; "" and 0 stand for what is usual.
    """

    exam_id: int
    study_instance_uid: str
    anonymize: bool = False
    cover_page: bool = True
    max_workers: int = 4
    url_callback: str | None = None
    cod_autorizacao: str | int | None = None
    cod_faturamento: str | int | None = None
    cod_procedimento: str | int | None = None
    delivery: str = "inline"
    layout: str = ""
    lang: str = ""
    lossless: bool = False
    max_bytes: int = 0
    series: tuple[str, ...] = ()
    key_images: bool = False

    def digest(self) -> str:
        """Digest that is equal for equal requests."""
        values = [getattr(self, name) for name in self.__slots__]
        return hashlib.sha256(repr(values).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Pdf:
    """The finished document in the PDF bucket."""

    key: str
    size_bytes: int
    sha256: str
    pages: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job, or the delivery of its result, failed."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its row has it.

    `owed` is true until its caller was told, or nobody will tell him any more. `turn` is the number of the
    attempt at that which is next, over the job's whole life; `round_turn` the one its schedule began with.
    `begins` counts how often a worker began, `delivery_begins` how often the attempt of this turn was begun:
    a message may be received and no function run, so its own count says nothing.
    """

    job_id: str
    state: State
    request: RenderRequest
    created_at: str
    updated_at: str
    expires_at: int
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    progress: Mapping[str, int] = field(default_factory=dict)
    pdf: Pdf | None = None
    not_shown: tuple[Mapping[str, Any], ...] = ()
    error: Failure | None = None
    history: tuple[Mapping[str, str], ...] = ()
    owed: bool = False
    turn: int = 1
    round_turn: int = 1
    begins: int = 0
    delivery_begins: int = 0
    callback: Mapping[str, Any] = field(default_factory=dict)
    attempts: tuple[Mapping[str, Any], ...] = ()

    @property
    def partial(self) -> bool:
        """True when something of the study could not be shown."""
        return bool(self.not_shown)

    @classmethod
    def from_item(cls, item: Item) -> Job:
        """Read a row."""
        request = RenderRequest(**{k: _plain(v) for k, v in item["request"].items()})
        pdf, error = item.get("pdf"), item.get("error")
        return cls(
            job_id=item["job_id"],
            state=State(item["state"]),
            request=request,
            created_at=item["created_at"],
            updated_at=item["updated_at"],
            expires_at=int(item["expires_at"]),
            secrets={k: bytes(v) for k, v in item.get("secrets", {}).items()},
            progress={k: int(v) for k, v in item.get("progress", {}).items()},
            pdf=Pdf(**{k: _plain(v) for k, v in pdf.items()}) if pdf else None,
            not_shown=_rows(item.get("not_shown", ())),
            error=Failure(**error) if error else None,
            history=_rows(item.get("history", ())),
            owed=bool(item.get("owed", False)),
            turn=int(item.get("turn", 1)),
            round_turn=int(item.get("round_turn", 1)),
            begins=int(item.get("begins", 0)),
            delivery_begins=int(item.get("delivery_begins", 0)),
            callback={k: _plain(v) for k, v in item.get("callback", {}).items()},
            attempts=_rows(item.get("attempts", ())),
        )


def _plain(value: Any) -> Any:
    """DynamoDB's Decimal as an int, its list as a tuple; all else as it is."""
    if isinstance(value, list):
        return tuple(map(_plain, value))
    return int(value) if hasattr(value, "as_tuple") else value


def _rows(values: Collection[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    return tuple({k: _plain(v) for k, v in row.items()} for row in values)


def _stored(value: Any) -> Any:
    """A value as DynamoDB takes it."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [_stored(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def new_job_id() -> str:
    """An id that cannot be guessed, and says nothing of the patient."""
    return str(uuid.uuid4())


def now() -> str:
    """The time as a row has it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Announce = Callable[[str, State, str], None]


@dataclass(frozen=True, slots=True)
class Claim:
    """What makes a request the same as an earlier one: a row of its own, written together with the job's.

    Claimed for as long as the job's row lives, or with `while_unfinished` until the job is over.
    """

    key: str
    request_digest: str
    while_unfinished: bool = False

    @classmethod
    def of_key(cls, idempotency_key: str, request: RenderRequest) -> Claim:
        """By the Idempotency-Key of its caller."""
        digest = hashlib.sha256(idempotency_key.encode()).hexdigest()
        return cls(f"idempotency#{digest}", request.digest())

    @classmethod
    def of_body(cls, body_mac: str) -> Claim:
        """By its body, every byte of it."""
        return cls(f"body#{body_mac}", body_mac, while_unfinished=True)

    def row(self, job: Item) -> dict[str, Any]:
        return {
            "job_id": self.key,
            "claimed_job_id": job["job_id"],
            "request_digest": self.request_digest,
            "expires_at": job["expires_at"],
        }


class Jobs:
    """The jobs table. `announce(job_id, state, at)` is told of every change, after it is durable."""

    def __init__(self, table: Table, announce: Announce | None = None) -> None:
        self._table = table
        self._announce = announce or (lambda _job_id, _state, _at: None)

    @property
    def table(self) -> Table:
        return self._table

    def create(
        self,
        request: RenderRequest,
        *,
        job_id: str,
        secrets: Mapping[str, bytes],
        retention_days: int,
        claim: Claim | None = None,
    ) -> tuple[Job, bool]:
        """Write a new row; answer the job, and whether it is new.

        When an earlier request holds the claim, its job is answered instead. Raises `IdempotencyConflict`
        when that was another request, `JobBusy` when the claim cannot be had at this moment.
        """
        at = now()
        item: dict[str, Any] = {
            "job_id": job_id,
            "state": State.ACCEPTED.value,
            "exam_id": request.exam_id,
            "request": {name: getattr(request, name) for name in request.__slots__},
            "created_at": at,
            "updated_at": at,
            "expires_at": int(time.time()) + retention_days * 86_400,
            "history": [{"state": State.ACCEPTED.value, "at": at}],
            "owed": request.url_callback is not None,
            "turn": 1,
            "round_turn": 1,
        }
        if secrets:
            item["secrets"] = dict(secrets)
        if claim is None:
            self._table.put_item(Item=item, ConditionExpression="attribute_not_exists(job_id)")
        elif earlier := self._claim(claim, item):
            return earlier, False
        self._announce(job_id, State.ACCEPTED, at)
        return Job.from_item(item), True

    def _claim(self, claim: Claim, item: dict[str, Any]) -> Job | None:
        """Write the claim and the row together; answer the earlier job where its request has the claim."""
        condition, values = "attribute_not_exists(job_id)", dict[str, Any]()
        for _ in range(CLAIM_TRIES):
            if self._write_both(claim.row(item), item, condition, values):
                return None
            row = self._table.get_item(Key={"job_id": claim.key}, ConsistentRead=True).get("Item")
            if row is None:
                condition, values = "attribute_not_exists(job_id)", {}
                continue
            if row["request_digest"] != claim.request_digest:
                raise IdempotencyConflict("Idempotency-Key was used before for a different request")
            earlier = self._find(str(row["claimed_job_id"]))
            if earlier is not None and not (claim.while_unfinished and earlier.state in FINAL):
                return earlier
            condition, values = "claimed_job_id = :gone", {":gone": row["claimed_job_id"]}
        raise JobBusy("the same request is being accepted at this moment")

    def _write_both(
        self, claim: dict[str, Any], item: dict[str, Any], condition: str, values: dict[str, Any]
    ) -> bool:
        """Put the claim under a condition, and the new row. False when the condition did not hold."""
        first = {"Item": claim, "ConditionExpression": condition}
        if values:
            first["ExpressionAttributeValues"] = values
        puts = [first, {"Item": item, "ConditionExpression": "attribute_not_exists(job_id)"}]
        try:
            self._table.meta.client.transact_write_items(
                TransactItems=[{"Put": {"TableName": self._table.name, **put}} for put in puts]  # type: ignore[typeddict-item]
            )
        except ClientError as error:
            if _code(error) != "TransactionCanceledException":
                raise
            return False
        return True

    def _find(self, job_id: str) -> Job | None:
        try:
            return self.get(job_id)
        except JobNotFound:
            return None

    def get(self, job_id: str) -> Job:
        """Read the row as it is now. Raises `JobNotFound`."""
        item = self._table.get_item(Key={"job_id": job_id}, ConsistentRead=True).get("Item")
        if item is None or "state" not in item:
            raise JobNotFound("there is no such job")
        return Job.from_item(item)

    def begin(self, job_id: str, *, run: str, lease_seconds: int) -> Job:
        """Take the job for one run of a worker, for as long as the lease.

        Raises `JobBusy` while another run holds it, `JobMoved` when it is past working on, `JobNotFound`.
        """
        moment = int(time.time())
        try:
            return self.move(
                job_id,
                State.FETCHING,
                sets="lease_run = :run, lease_until = :until, begins = if_not_exists(begins, :zero) + :one",
                condition="(attribute_not_exists(lease_until) OR lease_until < :now OR lease_run = :run)",
                values={":now": moment, ":run": run, ":until": moment + lease_seconds, ":zero": 0, ":one": 1},
            )
        except JobMoved:
            if self.get(job_id).state in WORKING:
                raise JobBusy("another worker holds the job") from None
            raise

    def advance(self, job_id: str, state: State, *, run: str, **attributes: Any) -> Job:
        """Take a job of ours to its next state. Raises `JobMoved` when it is no longer ours."""
        return self.move(
            job_id,
            state,
            condition="lease_run = :run",
            values={":run": run},
            attributes=attributes,
            removes=("lease_until", "lease_run") if state not in WORKING else (),
        )

    def finish(self, job_id: str, state: State, *, keep_secrets: bool = False, **attributes: Any) -> Job:
        """Take a job to a final state, whoever holds it. Raises `JobMoved` when it already is in one."""
        removes = ("lease_until", "lease_run") if keep_secrets else ("lease_until", "lease_run", "secrets")
        return self.move(job_id, state, attributes=attributes, removes=removes)

    def cancel(self, job_id: str) -> Job:
        """End a job because its caller says so; a job that is cancelled already stays so.

        Raises `JobFinished` when it is over, `JobBusy` while its result is being delivered, `JobNotFound`.
        """
        try:
            return self.move(
                job_id,
                State.CANCELLED,
                condition="(attribute_not_exists(delivery_until) OR delivery_until < :now)",
                values={":now": int(time.time())},
                attributes={"owed": False},
                removes=("lease_until", "lease_run", "secrets"),
            )
        except JobMoved:
            job = self.get(job_id)
        if job.state is State.CANCELLED:
            return job
        if job.state in FINAL:
            raise JobFinished(f"the job is {job.state.value} already")
        raise JobBusy("the result is being delivered at this moment")

    def renew(self, job_id: str, *, run: str, lease_seconds: int) -> None:
        """Prolong our lease from now on. Raises `JobMoved` when the job is no longer ours."""
        until = int(time.time()) + lease_seconds
        self._update_ours(job_id, run, "SET lease_until = :until", {":until": until})

    def release(self, job_id: str, *, run: str) -> None:
        """Give the job back for another run: after a failure that a retry may mend."""
        self._update_ours(job_id, run, "REMOVE lease_until, lease_run", {})

    def record_progress(self, job_id: str, *, run: str, **counts: int) -> None:
        """Write how far the work is. Raises `JobMoved` when the job is no longer ours."""
        self._update_ours(job_id, run, "SET progress = :progress", {":progress": counts})

    def _update_ours(self, job_id: str, run: str, expression: str, values: dict[str, Any]) -> None:
        try:
            self._table.update_item(
                Key={"job_id": job_id},
                UpdateExpression=expression,
                ConditionExpression="lease_run = :run",
                ExpressionAttributeValues={":run": run, **values},
            )
        except ClientError as error:
            raise moved(error) from error

    def move(
        self,
        job_id: str,
        state: State,
        *,
        before: Collection[State] | None = None,
        condition: str = "",
        values: Mapping[str, Any] | None = None,
        sets: str = "",
        attributes: Mapping[str, Any] | None = None,
        removes: Collection[str] = (),
    ) -> Job:
        """Take a job to a state, from those that go `before` it, in one conditional write.

        Raises `JobMoved` when it is in none of them, or the condition does not hold.
        """
        at = now()
        before = sorted(_BEFORE[state] if before is None else before)
        names = {"#state": "state", "#error": "error"} | {f"#a{i}": k for i, k in enumerate(attributes or {})}
        all_values = {
            ":state": state.value,
            ":at": at,
            ":entry": [{"state": state.value, "at": at}],
            ":none": [],
            **{f":s{i}": s.value for i, s in enumerate(before)},
            **{f":a{i}": _stored(v) for i, v in enumerate((attributes or {}).values())},
            **(values or {}),
        }
        parts = [
            "#state = :state",
            "updated_at = :at",
            "history = list_append(if_not_exists(history, :none), :entry)",
            *([sets] if sets else []),
            *(f"#a{i} = :a{i}" for i in range(len(attributes or {}))),
        ]
        # A run that begins again leaves the reason of the run before behind.
        gone = [*removes, *(["#error"] if "error" not in (attributes or {}) else [])]
        if "#error" not in gone:
            names.pop("#error")
        where = f"#state IN ({', '.join(f':s{i}' for i in range(len(before)))})"
        try:
            answer = self._table.update_item(
                Key={"job_id": job_id},
                UpdateExpression=f"SET {', '.join(parts)}" + (f" REMOVE {', '.join(gone)}" if gone else ""),
                ConditionExpression=where + (f" AND {condition}" if condition else ""),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=all_values,
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            raise moved(error) from error
        self._announce(job_id, state, at)
        return Job.from_item(answer["Attributes"])


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def moved(error: ClientError) -> Exception:
    """`JobMoved` for a condition that did not hold; the error itself otherwise."""
    if _code(error) == "ConditionalCheckFailedException":
        return JobMoved("the job is no longer in a state for this change")
    return error
