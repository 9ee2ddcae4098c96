"""What the routes of the API work with: rows, messages, links."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ponte_aws import clients
from ponte_aws.announce import announcer
from ponte_aws.jobs import Jobs, Pdf
from render.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a PDF that lives until `expires_at`."""

    url: str
    expires_at: str


def jobs_of(settings: ApiSettings) -> Jobs:
    """The jobs table of this deployment."""
    return Jobs(clients.jobs_table(settings.jobs_table), announcer(clients.sqs(), settings.report_queue_url))


def link_to(pdf: Pdf, settings: ApiSettings) -> Link:
    """A link to the PDF that lives for a short time."""
    ends = datetime.now(UTC) + timedelta(seconds=settings.link_seconds)
    url = clients.s3().generate_presigned_url(
        "get_object",
        Params={"Bucket": settings.pdf_bucket, "Key": pdf.key},
        ExpiresIn=settings.link_seconds,
    )
    return Link(url, ends.isoformat(timespec="seconds").replace("+00:00", "Z"))
