"""Who is told of an archive that is settled: the classifier, the renderer, the operator's system.

Each may be told twice when the function dies in between, and knows it by the same id.
"""

from __future__ import annotations

import hashlib
from itertools import batched

from ponte_aws import clients
from ponte_aws.archives import Archive, Archives
from ponte_aws.jobs import KEPT, Claim, Jobs, RenderRequest, new_job_id
from ponte_aws.queues import send
from zip_ingest.found import Found
from zip_ingest.settings import IngestSettings

_ROW_REFERENCES = 2000  # of 64 bytes each; a row holds 400 KB


def follow_up(archives: Archives, archive: Archive, found: Found, settings: IngestSettings) -> None:
    """Tell those that the operator wants to be told. When this returns, their queues have it."""
    if settings.classify_queue_url and found.chest:
        _classify(archives, archive, found, settings)
    if settings.render_ingested:
        for study in found.studies:
            _render(archive, study, settings)


def tell(archive: Archive, settings: IngestSettings) -> None:
    """The archive is settled, and its row says how."""
    if settings.webhook_queue_url:
        send(clients.sqs(), settings.webhook_queue_url, {"archive_id": archive.archive_id})


def _classify(archives: Archives, archive: Archive, found: Found, settings: IngestSettings) -> None:
    """One message for all chest radiographs of the archive; their UIDs are in rows of the archives table."""
    reference = f"chest#{archive.archive_id}"
    pairs = [(study, uid) for study, uids in found.chest.items() for uid in uids]
    rows = list(batched(pairs, _ROW_REFERENCES))
    for number, row in enumerate(rows):
        studies: dict[str, list[str]] = {}
        for study, uid in row:
            studies.setdefault(study, []).append(uid)
        archives.put_beside(
            f"{reference}#{number}", {"studies": studies}, retention_days=settings.archive_retention_days
        )
    send(clients.sqs(), settings.classify_queue_url, {"reference": reference, "rows": str(len(rows))})


def _render(archive: Archive, study_instance_uid: str, settings: IngestSettings) -> None:
    """A PDF of the study, once for an archive however often it is asked for."""
    request = RenderRequest(exam_id=0, study_instance_uid=study_instance_uid, delivery=KEPT)
    name = hashlib.sha256(f"{archive.archive_id} {study_instance_uid}".encode()).hexdigest()
    job, _ = Jobs(clients.jobs_table(settings.jobs_table)).create(
        request,
        job_id=new_job_id(),
        secrets={},
        retention_days=settings.job_retention_days,
        claim=Claim(f"ingest#{name}", request.digest()),
    )
    send(clients.sqs(), settings.render_queue_url, {"job_id": job.job_id})
