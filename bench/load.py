"""200 requests at once against the local stack, with workers and callbacks killed at random meanwhile.

What is measured is a promise: every job that was accepted is delivered, once in effect (the receiver counts
by `webhook-id`), and none is lost. The receiver fails now and then, too.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import urllib3
from pydicom import dcmread

from bench.shapes import make_study
from infra.local.faults import kill, processes_of
from infra.local.options import StackOptions
from infra.local.stack import LocalStack

REQUESTS = 200
KILLS = 20
KILL_EVERY_S = 2.0
UNSEEN_S = 20
LONGEST_S = 900.0
TRIES = 60
PATH = "/callback"
FINAL = {"delivered", "failed", "expired", "cancelled"}


@dataclass(frozen=True, slots=True)
class Report:
    """`lost` were accepted and never came; `repeats` came more often than once, with the same id."""

    accepted: int
    delivered: int
    lost: int
    repeats: int
    other_states: dict[str, int]
    kills: int
    refused_by_receiver: int
    accept_s: float
    total_s: float


def run(_rounds: int, _shapes: Sequence[str]) -> dict[str, Any]:
    """One run, as a dictionary."""
    return asdict(drive(REQUESTS, kills=KILLS))


def drive(requests: int, *, kills: int, seed: int = 1) -> Report:
    """Send so many requests at once, kill so many functions meanwhile, and wait until every job is over."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        study = Path(work, "study")
        make_study("ct", study, instances=1)
        (file,) = study.iterdir()
        study_uid = str(dcmread(file, stop_before_pixels=True).StudyInstanceUID)
        options = StackOptions(
            port=0,
            receiver=True,
            orthanc="no",
            dicom_wado_url=study.as_uri(),
            environment={},
            function_environment={
                "LEASE_SECONDS": "2",
                "RETRY_SCHEDULE_SECONDS": ",".join(["0", *["1"] * 20]),
            },
        )
        with LocalStack(options) as stack, _killing(stack, kills, chance) as killed:
            _return_soon(stack)
            started = time.monotonic()
            with ThreadPoolExecutor(requests) as pool:
                jobs = list(pool.map(lambda number: _accept(stack, study_uid, number), range(requests)))
            accept_s = time.monotonic() - started
            stack.receiver.fail_next(requests // 20)
            states = Counter(_wait(stack, job_id, started + LONGEST_S) for job_id in jobs)
            return _report(stack, jobs, states, len(killed), accept_s, time.monotonic() - started)


def _return_soon(stack: LocalStack) -> None:
    """A message whose function dies before its first line comes again in 20 s, not in 90 minutes."""
    for name in ("RenderQueueUrl", "CallbackQueueUrl"):
        stack.aws.sqs.set_queue_attributes(
            QueueUrl=stack.outputs[name], Attributes={"VisibilityTimeout": str(UNSEEN_S)}
        )


def _accept(stack: LocalStack, study_uid: str, number: int) -> str:
    """POST until it is accepted: a gateway with 64 connections turns some of 200 away."""
    body = {"examID": number, "pacs_studies_iuid": study_uid, "UrlCallback": stack.receiver.url(PATH)}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    for _ in range(TRIES):
        try:
            answer = urllib3.request(
                "POST", f"{stack.api_url}/render", json=body, headers=headers, retries=False, timeout=60
            )
        except urllib3.exceptions.HTTPError:
            time.sleep(0.5)
            continue
        if answer.status == 200:
            return str(answer.json()["job_id"])
        time.sleep(0.5)
    raise RuntimeError("a request was never accepted")


def _wait(stack: LocalStack, job_id: str, deadline: float) -> str:
    """The state in which a job ended, or is when nobody waits any more."""
    while True:
        answer = urllib3.request("GET", f"{stack.api_url}/jobs/{job_id}", retries=False, timeout=60)
        state = str(answer.json()["state"]) if answer.status == 200 else "unknown"
        if state in FINAL or time.monotonic() > deadline:
            return state
        time.sleep(0.2)


@contextmanager
def _killing(stack: LocalStack, most: int, chance: random.Random) -> Iterator[list[int]]:
    """Kill a random worker or callback now and then, `most` of them, until the block ends; whom it killed."""
    ended, killed = threading.Event(), list[int]()

    def run() -> None:
        while len(killed) < most and not ended.wait(KILL_EVERY_S * chance.uniform(0.5, 1.5)):
            names = [stack.outputs[name] for name in ("WorkerFunction", "CallbackFunction")]
            found = [process for name in names for process in processes_of(stack, name)]
            if found and kill(victim := chance.choice(found)):
                killed.append(victim)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def _report(
    stack: LocalStack,
    jobs: Sequence[str],
    states: Counter[str],
    kills: int,
    accept_s: float,
    total_s: float,
) -> Report:
    came = Counter(each.headers["webhook-id"] for each in stack.receiver.accepted(PATH))
    refused = sum(each.answered != 200 for each in stack.receiver.callbacks)
    return Report(
        accepted=len(set(jobs)),
        delivered=states["delivered"],
        lost=len(set(jobs) - came.keys()),
        repeats=sum(came.values()) - len(came),
        other_states={state: count for state, count in states.items() if state != "delivered"},
        kills=kills,
        refused_by_receiver=refused,
        accept_s=round(accept_s, 1),
        total_s=round(total_s, 1),
    )


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| what | |", "|---|--:|"]
    lines += [f"| {name.replace('_', ' ')} | {value or 0} |" for name, value in result.items()]
    return "\n".join(lines)
