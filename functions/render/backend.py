"""What the routes of the API work with: rows and links."""

from __future__ import annotations

from ponte_aws import clients, links
from ponte_aws.announce import announcer
from ponte_aws.jobs import Jobs, Pdf
from ponte_aws.links import Link
from render.settings import ApiSettings


def jobs_of(settings: ApiSettings) -> Jobs:
    """The jobs table of this deployment."""
    return Jobs(clients.jobs_table(settings.jobs_table), announcer(clients.sqs(), settings.report_queue_url))


def link_to(pdf: Pdf, settings: ApiSettings) -> Link:
    """A link to the PDF that lives for a short time."""
    return links.link_to(clients.s3(), settings.pdf_bucket, pdf.key, seconds=settings.link_seconds)
