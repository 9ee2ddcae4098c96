"""An archive to a destination: nothing lost, nothing twice, nothing called stored that was not."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ponte.archive import Archive
from ponte.dedup import Ledger, LedgerBusy, Policy, Store
from ponte.destination import Outcome, Outgoing
from ponte.errors import (
    AccessRefused,
    DestinationUnavailable,
    InvalidRequest,
    PonteError,
    SourceUnavailable,
    StorageFull,
)
from ponte.ingest import BatchLimits, Entry, Route, ingest
from ponte.ingesting.counts import Counts
from ponte.instance import open_instance
from ponte.memorystore import MemoryStore
from ponte.quarantine import FolderQuarantine
from ponte.sqlitestore import SqliteStore
from tests.destinations import Recorder
from tests.factories import encode, make_ct
from tests.hazards.archives import Builder, archive

UIDS = [str(make_ct(number).SOPInstanceUID) for number in range(12)]
TWELVE = {f"CANARY^NAME/{number:02}": encode(make_ct(number)) for number in range(12)}
PLAIN, CLASS = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.2"
STUDY_INSTANCE_UID = 0x0020000D


class Slept(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def route_to(destination: Any, store: Store | None = None, **more: Any) -> Route:
    ledger = Ledger(store or MemoryStore(), more.pop("policy", Policy.UID_THEN_SHA256))
    return Route(**{"destination": destination, "ledger": ledger, "sleep": Slept(), **more})


def run(data: bytes, route: Route, first: int = 0, identity: str = "archive") -> list[Entry]:
    parts = ingest(Archive(io.BytesIO(data)), identity=identity, route=route, first=first)
    return [entry for settled in parts for entry in settled.entries]


def words(entries: Iterable[Entry]) -> list[tuple[str, str | None]]:
    return [(entry.verdict, entry.reason) for entry in entries]


def test_every_member_is_delivered_as_it_came_and_named_in_order() -> None:
    destination = Recorder()
    entries = run(archive(TWELVE), route_to(destination))
    assert [e.ordinal for e in entries] == list(range(1, 13))
    assert [e.name for e in entries] == list(TWELVE)
    assert [e.sop_instance_uid for e in entries] == UIDS
    assert words(entries) == [("accepted", None)] * 12
    assert all(e.delivered and e.sent_sha256 is None for e in entries)
    assert list(destination.held.values()) == list(TWELVE.values())
    sent = destination.batches[0][0]
    assert (sent.sop_class_uid, sent.transfer_syntax_uid) == (CLASS, PLAIN)
    assert TWELVE["CANARY^NAME/00"][sent.dataset_start :] == b"".join(sent.dataset_chunks(sent.dataset_bytes))


def test_batches_keep_to_number_and_bytes_and_what_is_large_waits_in_a_file() -> None:
    size = len(TWELVE["CANARY^NAME/00"])
    for limits, sizes in (
        (BatchLimits(batch_instances=5), [5, 5, 2]),
        (BatchLimits(batch_bytes=2 * size + 100), [2] * 6),
        (BatchLimits(batch_bytes=1, memory_bytes=100), [1] * 12),
    ):
        destination = Recorder()
        run(archive(TWELVE), route_to(destination, limits=limits))
        assert [len(batch) for batch in destination.batches] == sizes
        assert list(destination.held.values()) == list(TWELVE.values())
        in_memory = isinstance(destination.batches[0][0].content, bytes)
        assert in_memory == (limits.memory_bytes > size)


def test_the_next_batch_is_read_while_the_one_before_is_sent_and_no_further() -> None:
    data = archive(TWELVE)
    read, seen = threading.Event(), [0]

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if threading.current_thread() is not threading.main_thread():
                seen.append(self.tell())
                if self.tell() > len(data) // 4:
                    read.set()
            return super().read(size)

    class Waits(Recorder):
        def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
            batch = list(instances)
            if not self.batches:
                assert read.wait(30), "nothing was read meanwhile"
            yield from super().store(batch)

    parts = ingest(
        Archive(Watched(data)),
        identity="x",
        route=route_to(Waits(), limits=BatchLimits(batch_instances=3)),
    )
    next(parts)
    parts.close()
    assert max(seen) < len(data) // 2
    assert not [t for t in threading.enumerate() if t.name.startswith("ponte-read")]


def test_members_that_are_no_instances_are_skipped_or_kept_with_what_could_be_had(tmp_path: Path) -> None:
    ct = TWELVE["CANARY^NAME/01"]
    built = Builder().add(b"ok", TWELVE["CANARY^NAME/00"]).add(b"Thumbs.db", b"litter")
    built.add(b"cut", ct[:-10]).add(b"crc", ct, crc=1).add(b"text", b"some text").add(b"locked", ct, flags=1)
    quarantine = FolderQuarantine(tmp_path)
    entries = run(built.bytes(), route_to(Recorder(), quarantine=quarantine))
    assert words(entries) == [
        ("accepted", None),
        ("skipped", "IGNORED_NAME"),
        ("quarantined", "TRUNCATED"),
        ("quarantined", "ZIP_CRC"),
        ("quarantined", "NOT_DICOM"),
        ("quarantined", "ZIP_ENCRYPTED"),
    ]
    kept = {k.record.reason: k for k in quarantine.list()}
    assert {k.id for k in kept.values()} == {e.quarantine_id for e in entries if e.verdict == "quarantined"}
    with quarantine.open(kept["TRUNCATED"].id) as stream:
        assert stream.read() == ct[:-10]
    assert [kept[reason].record.complete for reason in ("TRUNCATED", "ZIP_CRC")] == [True, False]
    assert kept["ZIP_ENCRYPTED"].content_sha256 is None
    assert all(e.destination.status == "not_sent" for e in entries[1:])


def bare(data: bytes) -> bytes:
    """The dataset alone."""
    return data[132 + 12 + int.from_bytes(data[140:144], "little") :]


@pytest.mark.parametrize(
    ("came", "note"),
    [
        (bare(TWELVE["CANARY^NAME/03"]), "NO_META"),
        (TWELVE["CANARY^NAME/03"][132:], "NO_META"),
        (b"MZ" + TWELVE["CANARY^NAME/03"][2:], "PREAMBLE_NEUTRALISED"),
        (
            TWELVE["CANARY^NAME/03"].replace(UIDS[3].encode(), UIDS[4][: len(UIDS[3])].encode(), 1),
            "META_MISMATCH",
        ),
    ],
)
def test_a_head_that_is_not_fit_is_made_anew_and_the_dataset_is_not_touched(came: bytes, note: str) -> None:
    destination = Recorder()
    (entry,) = run(archive({"x": came}), route_to(destination))
    assert entry.notes == (note,)
    (sent,) = destination.held.values()
    read = open_instance(sent)
    assert sent.startswith(bytes(128) + b"DICM")
    assert sent.endswith(bare(TWELVE["CANARY^NAME/03"]))
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID == UIDS[3]
    assert read.file_meta.MediaStorageSOPClassUID == CLASS
    assert read.file_meta.TransferSyntaxUID == PLAIN
    assert entry.received_sha256 == hashlib.sha256(came).hexdigest()
    assert entry.sent_sha256 == hashlib.sha256(sent).hexdigest()


def test_a_meta_that_names_the_other_plain_syntax_is_put_right() -> None:
    came = TWELVE["CANARY^NAME/03"]
    lies = came.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1)
    destination = Recorder()
    (entry,) = run(archive({"x": lies}), route_to(destination))
    assert entry.notes == ("META_MISMATCH",)
    assert destination.batches[0][0].transfer_syntax_uid == PLAIN
    assert open_instance(next(iter(destination.held.values()))).Rows == 64


def test_what_the_destination_says_is_what_the_entry_says(tmp_path: Path) -> None:
    """FI-13: a warning is a success, a refusal for good is kept with its reason, the others go on."""
    destination = Recorder(
        {
            UIDS[0]: [Outcome(UIDS[0], "stored_with_warning", "coerced", 0xB000)],
            UIDS[1]: [Outcome(UIDS[1], "refused", "does not match", 0xA900)],
        }
    )
    quarantine = FolderQuarantine(tmp_path)
    store = MemoryStore()
    entries = run(archive(TWELVE), route_to(destination, store, quarantine=quarantine))
    assert words(entries) == [
        ("accepted", None),
        ("quarantined", "DESTINATION_REFUSED"),
        *[("accepted", None)] * 10,
    ]
    answers = [(e.destination.status, e.destination.detail, e.destination.reason) for e in entries[:2]]
    assert answers == [("stored_with_warning", "coerced", 0xB000), ("refused", "does not match", 0xA900)]
    (kept,) = quarantine.list()
    assert kept.id == entries[1].quarantine_id
    assert destination.asked[UIDS[1]] == 1
    again = Recorder()
    run(archive(TWELVE), route_to(again, store), identity="another")
    assert list(again.held) == [UIDS[1]]  # what was refused is nobody's, and may be tried again


@pytest.mark.parametrize(
    "first",
    [
        Outcome(UIDS[2], "refused", "out of resources", 0xA700, retryable=True),
        Outcome(UIDS[2], "unknown", "the answer does not say", retryable=True),
        Outcome(UIDS[2], "unknown"),
        None,
        Outcome("1.2.3", "stored"),
    ],
)
def test_what_may_be_taken_later_is_asked_again_alone(first: Outcome | None) -> None:
    """FI-13: A7xx and answers that do not name the instance."""
    slept = Slept()
    destination = Recorder({UIDS[2]: [first, first, Outcome(UIDS[2], "stored")]})
    entries = run(archive(TWELVE), replace(route_to(destination), sleep=slept))
    assert words(entries) == [("accepted", None)] * 12
    assert destination.asked[UIDS[2]] == 3
    assert sum(destination.asked.values()) == 14
    assert slept == [1.0, 2.0]


@pytest.mark.parametrize(
    "error", [DestinationUnavailable("down"), AccessRefused("401"), SourceUnavailable("cut")]
)
def test_a_destination_that_fails_as_a_whole_is_raised_and_what_it_had_counts(error: PonteError) -> None:
    store, destination = MemoryStore(), Recorder({UIDS[5]: [error]})
    with pytest.raises(type(error)) as caught:
        run(archive(TWELVE), route_to(destination, store))
    assert caught.value is error
    assert list(destination.held) == UIDS[:5]
    again = Recorder()
    entries = run(archive(TWELVE), route_to(again, store))
    assert list(again.held) == UIDS[5:]
    assert words(entries) == [("accepted", None)] * 12
    assert all(entry.delivered for entry in entries)
    stranger = Recorder()
    other = run(archive(TWELVE), route_to(stranger, store), identity="another")
    assert {e.verdict for e in other} == {"duplicate"}


def test_what_is_never_taken_ends_in_an_error_and_no_claim_is_left() -> None:
    store = MemoryStore()
    destination = Recorder({UIDS[2]: [Outcome(UIDS[2], "refused", "busy", 0xA700, retryable=True)]})
    with pytest.raises(DestinationUnavailable, match="1 instances were not taken, however often asked: busy"):
        run(archive(TWELVE), route_to(destination, store, limits=BatchLimits(attempts=3)))
    assert destination.asked[UIDS[2]] == 3
    entries = run(archive({"x": TWELVE["CANARY^NAME/02"]}), route_to(Recorder(), store), identity="another")
    assert words(entries) == [("accepted", None)]


def test_of_two_answers_to_one_instance_the_worse_counts() -> None:
    class Contradicts(Recorder):
        def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
            for instance in instances:
                yield Outcome(instance.sop_instance_uid, "stored")
                yield Outcome(instance.sop_instance_uid, "refused", "after all", 0xA900)

    (entry,) = run(archive({"x": TWELVE["CANARY^NAME/00"]}), route_to(Contradicts()))
    assert words([entry]) == [("quarantined", "DESTINATION_REFUSED")]


def test_a_second_member_of_the_same_uid_waits_for_the_first() -> None:
    a, other = TWELVE["CANARY^NAME/00"], encode(make_ct(0, PatientComments="another"))
    for policy, second, third in (
        (Policy.UID_THEN_SHA256, ("duplicate", None), ("quarantined", "UID_CONFLICT")),
        (Policy.UID_ONLY, ("duplicate", None), ("duplicate", None)),
        (Policy.SHA256_ONLY, ("duplicate", None), ("accepted", None)),
    ):
        destination = Recorder()
        entries = run(archive({"1": a, "2": a, "3": other}), route_to(destination, policy=policy))
        assert words(entries) == [("accepted", None), second, third]
        assert all(len({i.sop_instance_uid for i in b}) == len(b) for b in destination.batches)


def test_the_second_is_sent_where_the_first_did_not_arrive() -> None:
    a = TWELVE["CANARY^NAME/00"]
    refused = Outcome(UIDS[0], "refused", "no", 0xA900)
    destination = Recorder({UIDS[0]: [refused, Outcome(UIDS[0], "stored")]})
    entries = run(archive({"1": a, "2": a}), route_to(destination))
    assert words(entries) == [("quarantined", "DESTINATION_REFUSED"), ("accepted", None)]


def test_somebody_elses_claim_is_waited_for_and_then_raised() -> None:
    store = MemoryStore()
    other = Ledger(store, Policy.UID_THEN_SHA256)
    (seen,) = run(archive({"x": TWELVE["CANARY^NAME/00"]}), Route())
    other.claim(UIDS[0], seen.sha256 or "", "somebody else")
    slept = Slept()
    route = replace(route_to(Recorder(), store, limits=BatchLimits(pending_s=30)), sleep=slept)
    with pytest.raises(LedgerBusy):
        run(archive(TWELVE), route)
    assert 30 <= sum(slept) <= 40

    def arrives(_: float) -> None:
        other.confirm(UIDS[0], seen.sha256 or "", "somebody else")

    destination = Recorder()
    entries = run(archive(TWELVE), replace(route_to(destination, store), sleep=arrives))
    assert entries[0].verdict == "duplicate"
    assert UIDS[0] not in destination.held


def test_two_ingests_of_the_same_archive_at_once_have_one_effect(tmp_path: Path) -> None:
    data = archive({f"{n}": encode(make_ct(n)) for n in range(60)})
    destinations = [Recorder(), Recorder()]
    found: list[list[Entry]] = [[], []]
    store = SqliteStore(tmp_path / "ledger")

    def go(which: int) -> None:
        limits = BatchLimits(batch_instances=7, backoff_s=0.01)
        route = Route(destinations[which], Ledger(store, Policy.UID_THEN_SHA256), limits=limits)
        found[which] = run(data, route, identity=f"run {which}")

    threads = [threading.Thread(target=go, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    store.close()
    asked = destinations[0].asked + destinations[1].asked
    assert len(asked) == 60
    assert set(asked.values()) == {1}
    verdicts = [{first.verdict, second.verdict} for first, second in zip(*found, strict=True)]
    assert verdicts == [{"accepted", "duplicate"}] * 60


def test_resuming_at_any_position_is_as_good_as_one_run() -> None:
    inner = archive({"n1": encode(make_ct(20)), "n2": encode(make_ct(21)), "n3": encode(make_ct(22))})
    data = archive(
        {**dict(list(TWELVE.items())[:4]), "inner.zip": inner, "folder/": b"", "last": encode(make_ct(30))}
    )
    limits = BatchLimits(batch_instances=2)
    whole = {e.place: (e.verdict, e.sop_instance_uid) for e in run(data, route_to(Recorder(), limits=limits))}
    assert list(whole) == ["1", "2", "3", "4", "4.1", "4.2", "4.3", "7"]
    for stop in range(5):
        store, destination = MemoryStore(), Recorder()
        route = route_to(destination, store, limits=limits)
        seen: dict[str, tuple[str, str | None]] = {}
        position = 0
        parts = ingest(Archive(io.BytesIO(data)), identity="x", route=route)
        for _ in range(stop):
            settled = next(parts, None)
            if settled is not None:
                position = settled.position
                seen |= {e.place: (e.verdict, e.sop_instance_uid) for e in settled.entries}
        parts.close()
        for entry in run(data, route, first=position, identity="x"):
            seen[entry.place] = (entry.verdict, entry.sop_instance_uid)
            assert entry.delivered
        assert seen == whole
        assert set(destination.asked.values()) == {1}


def test_closing_between_two_batches_ends_the_reading_and_leaves_no_claim() -> None:
    store = MemoryStore()
    parts = ingest(
        Archive(io.BytesIO(archive(TWELVE))),
        identity="x",
        route=route_to(Recorder(), store, limits=BatchLimits(batch_instances=2)),
    )
    next(parts)
    parts.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ponte-read")]
    entries = run(archive(TWELVE), route_to(Recorder(), store), identity="another")
    assert words(entries) == [("duplicate", None)] * 2 + [("accepted", None)] * 10


class Breaks(io.BytesIO):
    """A source that cannot be read behind a point, for now."""

    broken = True

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self._error, self._limit = error, len(data) // 2

    def read(self, size: int | None = -1, /) -> bytes:
        if threading.current_thread() is not threading.main_thread() and self.tell() > self._limit:
            raise self._error
        return super().read(size)


@pytest.mark.parametrize("error", [SourceUnavailable("503 SlowDown"), OSError(5, "EIO")])
def test_a_source_that_breaks_off_is_no_verdict_on_an_instance(error: Exception) -> None:
    """FI-20: what came before is settled, the rest is for later."""
    destination = Recorder()
    route = route_to(destination, limits=BatchLimits(batch_instances=2))
    parts = ingest(Archive(Breaks(archive(TWELVE), error)), identity="x", route=route)
    with pytest.raises(type(error)):
        list(parts)
    assert destination.held
    assert len(destination.held) < 12


def test_a_disk_that_is_full_is_raised_and_not_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ponte.ingesting.spool.TemporaryFile", full)
    with pytest.raises(StorageFull):
        run(archive(TWELVE), route_to(Recorder(), limits=BatchLimits(memory_bytes=100)))


def test_a_full_quarantine_stops_the_run_rather_than_lose_what_it_should_keep(tmp_path: Path) -> None:
    route = route_to(Recorder(), quarantine=FolderQuarantine(tmp_path, budget_bytes=10))
    with pytest.raises(StorageFull):
        run(archive({"text": b"more than ten bytes"}), route)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_the_transformation_acts_on_what_is_sent_and_its_refusal_is_the_members(tmp_path: Path) -> None:
    new = "1.2.826.0.1.3680043.8.498.99"

    def transform(instance: Outgoing) -> Outgoing:
        if instance.sop_instance_uid == UIDS[1]:
            raise InvalidRequest("burned in", code="PIXEL_BUDGET")
        changed = b"".join(instance.chunks(instance.size_bytes)).replace(
            instance.sop_instance_uid.encode(), b"9"
        )
        return replace(instance, sop_instance_uid=new, content=changed)

    destination, quarantine = Recorder(), FolderQuarantine(tmp_path)
    entries = run(archive(TWELVE), route_to(destination, quarantine=quarantine, transform=transform))
    assert words(entries) == [("accepted", None), ("quarantined", "PIXEL_BUDGET"), *[("accepted", None)] * 10]
    assert [len(batch) for batch in destination.batches] == [1] * 11  # one UID for all: one at a time
    assert entries[0].sop_instance_uid == UIDS[0]
    assert entries[0].sent_sha256 != entries[0].received_sha256
    (kept,) = quarantine.list()
    with quarantine.open(kept.id) as stream:
        assert stream.read() == TWELVE["CANARY^NAME/01"]


def test_a_rehearsal_sends_claims_and_keeps_nothing(tmp_path: Path) -> None:
    quarantine = FolderQuarantine(tmp_path)
    ledger = Ledger(MemoryStore(), Policy.UID_THEN_SHA256)
    a = TWELVE["CANARY^NAME/00"]
    entries = run(archive({"1": a, "2": a, "x": b"text"}), Route(ledger=ledger, quarantine=quarantine))
    assert words(entries) == [("accepted", None), ("duplicate", None), ("quarantined", "NOT_DICOM")]
    assert {e.destination.status for e in entries} == {"not_sent"}
    assert list(tmp_path.iterdir()) == []


def test_values_are_kept_as_asked_and_counts_name_nobody() -> None:
    counts = Counts()
    route = route_to(Recorder(), keep=frozenset({STUDY_INSTANCE_UID}))
    data = archive({**TWELVE, "x": b"text"})
    for settled in ingest(Archive(io.BytesIO(data)), identity="x", route=route):
        counts.add(settled)
        assert settled.entries[0].values[STUDY_INSTANCE_UID]
    assert (counts.verdicts["accepted"], counts.delivered, counts.reasons["NOT_DICOM"]) == (12, 12, 1)
    assert counts.delivered_bytes == sum(map(len, TWELVE.values()))
    assert "CANARY" not in repr(counts)


def test_nothing_of_a_patient_is_in_logs_errors_or_representations(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    destination = Recorder({UIDS[2]: [None]})
    members = {**TWELVE, "CANARY-name": b"text", "CANARY-cut": TWELVE["CANARY^NAME/09"][:999]}
    route = route_to(destination, quarantine=FolderQuarantine(tmp_path))
    with pytest.raises(DestinationUnavailable) as caught:
        run(archive(members), route)
    entries = run(archive(members), route_to(Recorder(), quarantine=FolderQuarantine(tmp_path)))
    said = caplog.text + str(caught.value) + repr(caught.value)
    assert "CANAR" not in said + repr(entries)
    assert not any(uid in said for uid in UIDS)
    assert not [p for p in tmp_path.rglob("*") if "CANAR" in str(p)]


def test_memory_does_not_grow_with_the_archive() -> None:
    import tracemalloc

    from tests.hazards.archives import Generated

    one = encode(make_ct(1, size=256))
    route = route_to(Recorder(), limits=BatchLimits(batch_instances=16), policy=Policy.UID_ONLY)
    tracemalloc.start()
    try:
        parts = ingest(Archive(Generated(one, 3000)), identity="x", route=route)
        total = sum(len(settled.entries) for settled in parts)
        assert tracemalloc.get_traced_memory()[1] < 48 << 20
    finally:
        tracemalloc.stop()
    assert total == 3000
