"""The report on an archive in S3: its parts while the archive is worked on, then the whole of it.

A part is stored before the checkpoint that counts it, so that no settled member is ever missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ponte.ingesting.report import Report
from ponte_aws.archives import Archive
from zip_ingest.found import Found

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIX: Final = "reports/"
PARTS_PREFIX: Final = "parts/"


@dataclass(frozen=True, slots=True)
class ReportStore:
    """Where the reports of one bucket are."""

    s3: S3Client
    bucket: str

    def put_part(self, archive_id: str, number: int, part: Report, found: Found) -> None:
        """Store what was settled since the last part. When this returns, S3 has it."""
        content = {"report": part.as_json(), "studies": found.studies}
        self._put(_part_key(archive_id, number), json.dumps(content), "application/json")

    def parts(self, archive: Archive) -> Iterator[tuple[dict[str, Any], Found]]:
        """The parts that its checkpoints count, in their order."""
        for number in range(archive.parts):
            answer = self.s3.get_object(Bucket=self.bucket, Key=_part_key(archive.archive_id, number))
            with answer["Body"] as body:
                content = json.loads(body.read())
            yield content["report"], Found.from_json(content["studies"])

    def put(self, archive_id: str, report: Report, language: Literal["pt-BR", "en"]) -> str:
        """Store the whole report, as JSON and as a page; answer the key of the JSON."""
        self._put(f"{PREFIX}{archive_id}.html", report.as_page(language), "text/html; charset=utf-8")
        key = f"{PREFIX}{archive_id}.json"
        content = {"archive_id": archive_id, **report.as_json()}
        self._put(key, json.dumps(content, ensure_ascii=False, indent=1), "application/json")
        return key

    def _put(self, key: str, text: str, content_type: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode(), ContentType=content_type)


def new_report(archive: Archive) -> Report:
    """An empty report on the archive."""
    return Report(archive.name.key, arrived_at=archive.arrived)


def _part_key(archive_id: str, number: int) -> str:
    return f"{PARTS_PREFIX}{archive_id}/{number:06d}.json"
