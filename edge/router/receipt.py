"""The custody receipt of a study: what came, when it was safe here, and what each destination said of it.

It says what the rows hold and nothing else: no destination has an instance that it did not confirm. It has no
name and no number of the patient unless it is asked for, and needs the rows alone: it outlives the images.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ponte.errors import StudyNotFound
from router.delivery_rows import BY_HAND
from router.receipt_keys import SigningKey
from router.receipt_words import words_of
from router.views import DeliveryView, InstanceView, QuarantinedView, StudyView, Views

KIND: Final = "ponte-custody-receipt"
VERSION: Final = 1
ALGORITHM: Final = "Ed25519"
_PAGE: Final = 1000
_CONFIRMED: Final = frozenset({"sent", "committed", "already_there"})
_UNDER_WAY: Final = frozenset({"waiting", "sending", "sent_awaiting_commitment"})

Receipt = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes a receipt: the program with its version, the router's AE title, and the host's key."""

    software: str
    ae_title: str
    key_id: str


def receipt(
    views: Views, study_instance_uid: str, maker: Maker, *, at: float, with_patient: bool = False
) -> Receipt:
    """All that is known of a study, of one moment. Raises `StudyNotFound`, `TransientError`."""
    with views.moment():
        study = views.study(study_instance_uid)
        if study is None:
            raise StudyNotFound("No study of this UID was ever received here")
        instances = list(_instances(views, study_instance_uid))
        quarantined = views.quarantined(study_instance_uid)
        decided_up_to = views.decided_up_to()
    entries = [_entry(one, decided_up_to, with_detail=with_patient) for one in instances]
    totals = _totals(study, entries, quarantined)
    return {
        "type": KIND,
        "version": VERSION,
        "made_at": _time(at),
        "made_by": {"software": maker.software, "ae_title": maker.ae_title, "key_id": maker.key_id},
        "study": _study(study, with_patient=with_patient),
        "digest": {"algorithm": "SHA-256", "of": "dataset without preamble and file meta (PS3.10 7.1)"},
        "instances": entries,
        "quarantined": [_quarantined(one) for one in quarantined],
        "totals": totals,
        "verdict": words_of(totals),
    }


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one way to write it: ASCII, keys in order, no spaces. There is no number but whole ones."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def signed(found: Receipt, key: SigningKey) -> bytes:
    """The receipt and the signature over its canonical bytes, as the canonical bytes of one object."""
    signature = {
        "algorithm": ALGORITHM,
        "key_id": key.public.id,
        "public_key": base64.b64encode(key.public.raw).decode("ascii"),
        "value": base64.b64encode(key.sign(canonical(found))).decode("ascii"),
    }
    return canonical({"receipt": found, "signature": signature})


def _instances(views: Views, study_instance_uid: str) -> Iterator[InstanceView]:
    after = 0
    while page := views.instances(study_instance_uid, _PAGE, after):
        yield from page
        after = page[-1].number


def _time(seconds: float | None) -> str | None:
    """ISO 8601, UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _study(study: StudyView, *, with_patient: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "study_instance_uid": study.study_instance_uid,
        "modalities": list(study.modalities),
        "first_received_at": _time(study.first_received_at),
        "last_received_at": _time(study.last_received_at),
        "state": study.state,
    }
    if with_patient:
        found["patient"] = {
            "patient_id": study.patient_id,
            "patient_name": study.patient_name,
            "accession_number": study.accession_number,
            "study_date": study.study_date,
            "study_time": study.study_time,
            "study_description": study.description,
        }
    return found


def _entry(one: InstanceView, decided_up_to: int | None, *, with_detail: bool) -> dict[str, Any]:
    """`removed_at` is null too where it was removed before times were kept. `is_undecided` says that more
    destinations may be to have it."""
    is_undecided = one.state == "kept" and decided_up_to is not None and one.number > decided_up_to
    return {
        "number": one.number,
        "sop_instance_uid": one.sop_instance_uid,
        "sop_class_uid": one.sop_class_uid,
        "series_instance_uid": one.series_instance_uid,
        "transfer_syntax_uid": one.transfer_syntax_uid,
        "sha256": one.sha256,
        "file_bytes": one.size_bytes,
        "source": {"ae_title": one.source_ae_title or None, "address": one.address or None},
        "received_at": _time(one.received_at),
        "durable_at": _time(one.durable_at),
        "state": one.state,
        "removed_at": _time(one.removed_at) if one.state == "removed" else None,
        "missing_since": _time(one.removed_at) if one.state == "missing" else None,
        "is_undecided": is_undecided,
        "destinations": [_at_destination(delivery, with_detail=with_detail) for delivery in one.deliveries],
    }


def state_of(delivery: DeliveryView) -> str:
    """What a row says, in the words of a receipt: `skipped` is two things."""
    if delivery.state == "skipped":
        return "dismissed" if delivery.detail in BY_HAND else "already_there"
    if delivery.state == "sent" and delivery.wants_commitment:
        return "sent_awaiting_commitment"
    return delivery.state


def _at_destination(delivery: DeliveryView, *, with_detail: bool) -> dict[str, Any]:
    """What a destination said in its own words may name a patient: only `with_detail`."""
    found: dict[str, Any] = {
        "destination": delivery.destination,
        "state": state_of(delivery),
        "status": None if delivery.status is None else f"{delivery.status:04X}",
        "attempts": delivery.attempts,
        "sent_at": _time(delivery.sent_at),
        "committed_at": _time(delivery.committed_at),
        "answered_at": _time(delivery.settled_at),
        "copy": None,
    }
    if delivery.sent_as or delivery.sent_sha256 or delivery.sent_transfer_syntax_uid:
        found["copy"] = {
            "sop_instance_uid": delivery.sent_as,
            "sha256": delivery.sent_sha256,
            "transfer_syntax_uid": delivery.sent_transfer_syntax_uid,
        }
    if with_detail:
        found["detail"] = delivery.detail
    return found


def _quarantined(one: QuarantinedView) -> dict[str, Any]:
    return {
        "id": one.id,
        "reason": one.reason,
        "sop_instance_uid": one.sop_instance_uid or None,
        "sha256": one.sha256,
        "answered": f"{one.status:04X}" if one.received_at else None,
        "received_at": _time(one.received_at or None),
        "is_open": one.is_there,
    }


def _totals(
    study: StudyView, entries: Sequence[Mapping[str, Any]], quarantined: Sequence[QuarantinedView]
) -> dict[str, Any]:
    """Of an instance that came again after it was removed, what its last row says counts."""
    latest = {entry["sop_instance_uid"]: entry for entry in entries}
    standing = Counter(_standing(entry) for entry in latest.values())
    states: dict[str, Counter[str]] = {}
    for entry in latest.values():
        for one in entry["destinations"]:
            states.setdefault(one["destination"], Counter())[one["state"]] += 1
    return {
        "instances": len(latest),
        "delivered": standing["delivered"],
        "under_way": standing["under_way"],
        "failed": standing["failed"],
        "dismissed": standing["dismissed"],
        "nowhere": standing["nowhere"],
        "lost": standing["lost"],
        "kept": sum(entry["state"] == "kept" for entry in latest.values()),
        "removed": sum(entry["state"] == "removed" for entry in latest.values()),
        "missing": sum(entry["state"] == "missing" for entry in latest.values()),
        "quarantined_open": sum(one.is_there for one in quarantined),
        "study_state": study.state,
        "destinations": {name: dict(sorted(counts.items())) for name, counts in sorted(states.items())},
    }


def _standing(entry: Mapping[str, Any]) -> str:
    """Where an instance stands, all destinations together; the worst counts. `lost`: the file is here no more
    and a destination that was to have it has not confirmed it. `nowhere`: it was decided that it goes
    nowhere, or there is no destination."""
    states = {one["state"] for one in entry["destinations"]}
    if states and states <= _CONFIRMED and not entry["is_undecided"]:
        return "delivered"
    if entry["state"] == "missing":
        return "lost"
    if states & {"refused", "given_up"}:
        return "failed"
    if states & _UNDER_WAY or entry["is_undecided"]:
        return "under_way"
    return "dismissed" if states else "nowhere"
