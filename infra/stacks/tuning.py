"""The numbers of a stage: time-outs, attempts, concurrency. What operators choose is in `configuration`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from callback.retries import SCHEDULE_S
from infra.configuration import Stage


@dataclass(frozen=True, slots=True)
class Tuning:
    """Defaults are those of AWS; the local stack waits longer for an answer and less for a retry."""

    api_timeout_s: int = 29  # the gateway gives up after 30
    sync_wait_s: int = 25
    inline_pdf_bytes: int = 4_500_000  # base64 of it fits into the 6 MB that a function may answer
    worker_timeout_s: int = 900
    worker_storage_mb: int = 4096
    classify_timeout_s: int = 900
    callback_timeout_s: int = 900  # a PDF travels at 1 MB/s at worst
    callback_concurrency: int = 10
    report_timeout_s: int = 30
    report_concurrency: int = 2
    ingest_timeout_s: int = 900
    ingest_storage_mb: int = 10_240  # members beyond the memory, and archives within archives, wait there
    ingest_lease_s: int = 120
    ingest_attempts: int = 300  # up to 15 minutes apart: two to three days
    render_attempts: int = 5
    callback_schedule_s: tuple[int, ...] = SCHEDULE_S
    callback_begins: int = 3
    report_attempts: int = 5
    receives: int = 30  # a function that is throttled has received and not run: rows count what was begun
    retry_base_s: int = 30
    lease_s: int = 90  # until a worker that was killed is replaced
    retention_days: int = 7

    @classmethod
    def of(cls, stage: Stage) -> Self:
        """The numbers of a stage."""
        if stage != "local":
            return cls()
        return cls(
            api_timeout_s=300,
            sync_wait_s=280,
            inline_pdf_bytes=1_000_000_000,  # no gateway stands between: the answer is always the PDF itself
            callback_concurrency=2,
            ingest_lease_s=20,
            ingest_attempts=5,
            render_attempts=3,
            callback_schedule_s=(0, 1, 2),
            report_attempts=3,
            retry_base_s=1,
            lease_s=20,
        )
