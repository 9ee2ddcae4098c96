"""What a rendering shows, as one number: two renderings of the same things have the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from render.options import RenderOptions
from render.record import Record
from render.report import NotShown

_NOT_ON_PAGES: Final = frozenset({"max_workers", "job_url", "clinic"})
"""Options that leave the images as they are; the address of a job is another one each time."""


def content_of(records: Iterable[Record], missing: Iterable[NotShown], options: RenderOptions) -> str:
    """Hex SHA-256 over the frames shown and not shown, in an order that does not matter, and the options."""
    shown = [
        (record.instance.sop_instance_uid, record.frame_number) for record in records if not record.reason
    ]
    lacking = [(entry.sop_instance_uid, entry.frame_number or 0, entry.reason) for entry in missing]
    asked = {name: value for name, value in asdict(options).items() if name not in _NOT_ON_PAGES}
    text = json.dumps([sorted(shown), sorted(lacking), asked], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def sources_of(records: Iterable[Record]) -> tuple[tuple[str, str], ...]:
    """SOP Class and SOP Instance UID of each instance that is shown, once."""
    shown = {
        record.instance.sop_instance_uid: record.instance.sop_class_uid
        for record in records
        if not record.reason
    }
    return tuple((sop_class, uid) for uid, sop_class in sorted(shown.items()) if uid and sop_class)
