"""An archive in the inbox, run after run, whatever comes in between."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from ponte.destination import Outcome, Outgoing
from ponte.errors import DestinationUnavailable, SourceUnavailable
from ponte_aws import clients
from ponte_aws.archives import State
from ponte_aws.quarantine import S3Quarantine
from ponte_aws.s3range import RangeLimits, S3Range
from tests.factories import encode, make_ct
from tests.hazards.archives import GOOD, archive
from tests.unit.zip_ingest.conftest import INBOX, Inbox, archive_id_of, event, record, stored
from zip_ingest import run
from zip_ingest.settings import ingest_settings

NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}


def instances(count: int) -> dict[str, bytes]:
    return {f"IM{number}": encode(make_ct(number)) for number in range(1, count + 1)}


def test_every_instance_arrives_once_and_the_report_says_so(inbox: Inbox) -> None:
    arrived = inbox.put(archive(instances(3)), key="pasta/exame de João + 100%.zip")
    assert inbox.handle(arrived) == NOTHING_FAILED
    assert [content for _, content in inbox.pacs.received] == list(instances(3).values())
    report = inbox.report(arrived)
    assert (report["verdict"], report["totals"]["delivered"]) == ("done", 3)
    assert [entry["destination"]["status"] for entry in report["entries"]] == ["stored"] * 3
    uids = [make_ct(number).SOPInstanceUID for number in (1, 2, 3)]
    hashed = [hashlib.sha256(uid.encode()).hexdigest() for uid in uids]
    assert [entry["sop_instance_uid_sha256"] for entry in report["entries"]] == hashed
    row = inbox.row(arrived)
    assert (row.state, row.position, row.summary["verdict"]) == (State.DONE, 3, "done")
    page = clients.s3().get_object(Bucket=INBOX, Key=f"reports/{row.archive_id}.html")
    assert page["ContentType"].startswith("text/html")
    assert inbox.messages("webhook") == [{"archive_id": row.archive_id}]


def test_the_same_archive_put_again_is_all_duplicates(inbox: Inbox) -> None:
    inbox.handle(inbox.put(archive()))
    again = inbox.put(archive())
    inbox.handle(again, message_id="m-2")
    assert len(inbox.pacs.received) == 2
    report = inbox.report(again)
    assert (report["verdict"], report["totals"]["duplicate"], report["totals"]["delivered"]) == ("done", 2, 0)


def test_what_cannot_be_sent_is_kept_with_its_reason_and_the_others_go(inbox: Inbox) -> None:
    cut = GOOD["a.dcm"][:-100]
    arrived = inbox.put(archive({**GOOD, "cut.dcm": cut, "leia-me.txt": b"nada"}))
    inbox.handle(arrived)
    report = inbox.report(arrived)
    assert (report["verdict"], report["totals"]["accepted"], report["totals"]["quarantined"]) == (
        "partial", 2, 2,
    )  # fmt: skip
    kept = {one.record.reason: one for one in S3Quarantine(clients.s3(), INBOX).list()}
    assert set(kept) == {"TRUNCATED", "NOT_DICOM"}
    with S3Quarantine(clients.s3(), INBOX).open(kept["TRUNCATED"].id) as stream:
        assert stream.read() == cut
    assert kept["TRUNCATED"].id in {entry["quarantine_id"] for entry in report["entries"]}


def test_an_archive_that_nothing_may_be_read_of_is_kept_as_a_whole(inbox: Inbox) -> None:
    data = b"<html>not what you asked for</html>"
    arrived = inbox.put(data)
    assert inbox.handle(arrived) == NOTHING_FAILED
    report = inbox.report(arrived)
    assert (report["verdict"], report["reason"]) == ("quarantined", "NOT_A_ZIP")
    (kept,) = S3Quarantine(clients.s3(), INBOX).list()
    assert (kept.record.kind, kept.id) == ("archive", report["quarantine_id"])
    with S3Quarantine(clients.s3(), INBOX).open(kept.id) as stream:
        assert stream.read() == data
    assert inbox.row(arrived).state is State.QUARANTINED


def test_it_stops_before_its_time_is_over_and_goes_on_by_a_message_of_its_own(inbox: Inbox) -> None:
    arrived = inbox.put(archive(instances(5)))
    inbox.remaining_ms = lambda: 1000
    assert inbox.handle(arrived) == NOTHING_FAILED
    archive_id = archive_id_of(arrived)
    for done in range(1, 5):
        row = inbox.row(arrived)
        assert (row.state, row.position, row.parts) == (State.WORKING, done, done)
        (message,) = inbox.messages()
        assert message == {"archive_id": archive_id}
        assert inbox.handle(message, message_id=f"m-{done}") == NOTHING_FAILED
    assert inbox.row(arrived).state is State.DONE
    assert inbox.messages() == []
    assert [content for _, content in inbox.pacs.received] == list(instances(5).values())
    report = inbox.report(arrived)
    assert [entry["ordinal"] for entry in report["entries"]] == [1, 2, 3, 4, 5]
    assert report["totals"]["delivered"] == 5


def test_fi_18_a_killed_run_is_gone_on_with_when_its_lease_is_over(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "1")
    arrived = inbox.put(archive(instances(4)))

    def die(instance: Outgoing) -> Outcome:
        if len(inbox.pacs.received) == 2:
            raise KeyboardInterrupt  # no boundary takes it: as good as a kill
        return Outcome(instance.sop_instance_uid, "stored")

    inbox.pacs.answer = die
    with pytest.raises(KeyboardInterrupt):
        inbox.handle(arrived)
    assert inbox.row(arrived).state is State.WORKING
    busy = inbox.handle(arrived)
    assert busy == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    clients.table("archives").update_item(
        Key={"archive_id": archive_id_of(arrived)},
        UpdateExpression="SET lease_until = :past",
        ExpressionAttributeValues={":past": 1},
    )
    inbox.pacs.answer = lambda instance: Outcome(instance.sop_instance_uid, "stored")
    assert inbox.handle(arrived) == NOTHING_FAILED
    assert [content for _, content in inbox.pacs.received] == list(instances(4).values())
    assert inbox.report(arrived)["totals"]["delivered"] == 4


def test_fi_17_the_same_message_twice_at_once_waits_and_another_message_leaves(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = inbox.put(archive())
    seen: list[Any] = []

    def meanwhile(instance: Outgoing) -> Outcome:
        if not seen:
            seen.append(inbox.handle(arrived, message_id="m-1"))
            seen.append(inbox.handle(arrived, message_id="m-2"))
        return Outcome(instance.sop_instance_uid, "stored")

    inbox.pacs.answer = meanwhile
    assert inbox.handle(arrived, message_id="m-1") == NOTHING_FAILED
    assert seen == [{"batchItemFailures": [{"itemIdentifier": "m-1"}]}, NOTHING_FAILED]
    assert len(inbox.pacs.received) == 2
    assert inbox.handle(arrived, message_id="m-1") == NOTHING_FAILED
    assert len(inbox.pacs.received) == 2


def test_a_destination_that_is_down_is_tried_again_by_a_message_with_a_delay(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_ATTEMPTS", "3")
    arrived = inbox.put(archive(instances(3)))
    uids: list[str] = []

    def down_after_one(instance: Outgoing) -> Outcome:
        if uids:
            raise DestinationUnavailable("The server cannot be reached")
        uids.append(instance.sop_instance_uid)
        return Outcome(instance.sop_instance_uid, "stored")

    inbox.pacs.answer = down_after_one
    archive_id = archive_id_of(arrived)
    assert inbox.handle(arrived) == NOTHING_FAILED
    (message,) = inbox.messages()
    row = inbox.row(arrived)
    assert (row.state, row.position, row.setbacks, row.silent) == (State.WORKING, 1, 1, 0)
    inbox.handle(message)
    (message,) = inbox.messages()
    inbox.handle(message)
    assert inbox.messages() == []
    row = inbox.row(arrived)
    assert (row.state, row.error) == (State.FAILED, "PACS_ERROR")
    report = inbox.report(arrived)
    assert (report["verdict"], report["error"]["code"]) == ("partial", "PACS_ERROR")
    assert [e["destination"]["status"] for e in report["entries"]].count("stored") == 1
    # FI-19: what was given up waits among the dead letters, and is done when its cause is mended.
    (dead,) = inbox.messages("ingest-dead")
    assert dead == {"archive_id": archive_id, "again": "1"}
    assert inbox.handle(arrived, message_id="late duplicate") == NOTHING_FAILED
    assert inbox.row(arrived).state is State.FAILED
    inbox.pacs.answer = lambda instance: Outcome(instance.sop_instance_uid, "stored")
    assert inbox.handle(dead) == NOTHING_FAILED
    assert inbox.row(arrived).state is State.DONE
    assert [content for _, content in inbox.pacs.received] == list(instances(3).values())
    assert inbox.report(arrived)["verdict"] == "done"


def test_an_archive_that_kills_each_run_is_given_up_with_a_word(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = inbox.put(archive())
    row = inbox.archives.create(_archived(arrived), retention_days=90)
    for _ in range(4):
        inbox.archives.begin(row.archive_id, run="r", message_id="m", lease_seconds=-1)
    assert inbox.handle(arrived) == NOTHING_FAILED
    row = inbox.row(arrived)
    assert (row.state, row.error) == (State.FAILED, "MEMORY")
    assert len(inbox.messages("ingest-dead")) == 1
    assert inbox.report(arrived)["error"]["code"] == "MEMORY"


def _archived(arrived: dict[str, Any]) -> Any:
    from ponte_aws.queues import Message
    from zip_ingest.events import arrivals

    found = arrivals(Message("m", "h", 1, json.dumps(arrived)), bucket=INBOX)
    assert found
    return found[0]


def test_fi_20_an_object_that_is_deleted_before_its_event_comes_is_nothing_to_do(inbox: Inbox) -> None:
    gone = event("gone.zip", etag="0" * 32, version_id=None, size=10)
    assert inbox.handle(gone) == NOTHING_FAILED
    assert inbox.row(gone).state is State.GONE
    assert inbox.keys("reports/") == []


def test_fi_20_an_object_that_was_replaced_is_left_to_the_event_of_the_other(inbox: Inbox) -> None:
    clients.s3().put_bucket_versioning(Bucket=INBOX, VersioningConfiguration={"Status": "Suspended"})
    first = inbox.put(archive())
    first["Records"][0]["s3"]["object"].pop("versionId", None)
    inbox.put(archive(instances(3)))
    assert inbox.handle(first) == NOTHING_FAILED
    row = inbox.row(first)
    assert (row.state, row.error) == (State.REPLACED, "OBJECT_REPLACED")
    assert inbox.pacs.received == []


class _InSmallBlocks(S3Range):
    """As if the archive were large: a block is less than a member."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, limits=RangeLimits(block_bytes=4096, ahead=1, retries=0, backoff_s=0))

    _get_small = S3Range._get


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [
        (lambda: clients.s3().delete_object(Bucket=INBOX, Key="exame.zip"), State.GONE, "OBJECT_GONE"),
        (
            lambda: clients.s3().put_object(Bucket=INBOX, Key="exame.zip", Body=archive()),
            State.REPLACED,
            "OBJECT_REPLACED",
        ),
    ],
    ids=["deleted", "replaced"],
)
def test_fi_20_an_object_that_is_lost_in_the_middle_makes_no_member_bad(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, change: Callable[[], Any], state: State, code: str
) -> None:
    monkeypatch.setattr(run, "S3Range", _InSmallBlocks)
    clients.s3().delete_bucket(Bucket=INBOX)
    clients.s3().create_bucket(Bucket=INBOX)  # without versions
    members = instances(20)
    arrived = inbox.put(archive(members, zipfile.ZIP_STORED))

    def lose_it(instance: Outgoing) -> Outcome:
        if len(inbox.pacs.received) == 1:
            change()
        return stored(instance)

    inbox.pacs.answer = lose_it
    assert inbox.handle(arrived) == NOTHING_FAILED
    row = inbox.row(arrived)
    assert (row.state, row.error) == (state, code)
    report = inbox.report(arrived)
    assert (report["verdict"], report["error"]["code"]) == ("partial", code)
    assert {entry["verdict"] for entry in report["entries"]} == {"accepted"}
    assert 0 < len(report["entries"]) == len(inbox.pacs.received) < 20
    assert inbox.keys("quarantine/") == []


def test_fi_20_an_s3_that_does_not_answer_in_the_middle_makes_no_member_bad(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "S3Range", _InSmallBlocks)
    arrived = inbox.put(archive(instances(20), zipfile.ZIP_STORED))
    is_down = False
    real = S3Range._get

    def refuse(stream: S3Range, wanted: str) -> Any:
        if is_down:
            raise SourceUnavailable("S3 answers 503")
        return real(stream, wanted)

    def go_down(instance: Outgoing) -> Outcome:
        nonlocal is_down
        is_down = len(inbox.pacs.received) >= 1
        return stored(instance)

    monkeypatch.setattr(_InSmallBlocks, "_get", refuse)
    inbox.pacs.answer = go_down
    assert inbox.handle(arrived) == NOTHING_FAILED
    row = inbox.row(arrived)
    assert (row.state, row.setbacks) == (State.WORKING, 1)
    assert inbox.keys("quarantine/") == []
    is_down, inbox.pacs.answer = False, stored
    (message,) = inbox.messages()
    assert inbox.handle(message) == NOTHING_FAILED
    assert inbox.report(arrived)["totals"]["delivered"] == 20
    assert len(inbox.pacs.received) == 20


def test_fi_20_a_test_event_is_no_archive_and_no_failure(inbox: Inbox) -> None:
    body = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": INBOX}
    assert inbox.handle(body) == NOTHING_FAILED


@pytest.mark.parametrize(
    "key", ["reports/x.zip", "quarantine/x.zip", "parts/x/x.zip", "notes.txt", "exame.zip.part"]
)
def test_fi_21_what_we_write_ourselves_and_what_is_no_zip_is_ignored(inbox: Inbox, key: str) -> None:
    assert inbox.handle(inbox.put(archive(), key=key)) == NOTHING_FAILED
    assert inbox.pacs.received == []
    assert clients.table("archives").scan()["Items"] == []


def test_fi_21_events_that_come_late_and_twice_change_nothing(inbox: Inbox) -> None:
    older, newer = inbox.put(archive()), inbox.put(archive(instances(3)))
    for number, one in enumerate((newer, older, newer, older)):
        assert inbox.handle(one, message_id=f"m-{number}") == NOTHING_FAILED
    assert len(inbox.pacs.received) == 3
    assert (inbox.row(older).state, inbox.row(newer).state) == (State.DONE, State.DONE)
    assert inbox.report(older)["totals"]["duplicate"] == 2


def test_several_archives_in_one_event_get_a_message_each(inbox: Inbox) -> None:
    first, second = inbox.put(archive(), key="a.zip"), inbox.put(archive(), key="b.ZIP")
    both = {"Records": first["Records"] + second["Records"]}
    assert inbox.handle(both) == NOTHING_FAILED
    assert inbox.messages() == [{"archive_id": archive_id_of(first)}, {"archive_id": archive_id_of(second)}]


def test_fi_19_one_bad_message_in_a_batch_of_ten_fails_alone(inbox: Inbox) -> None:
    records = [
        record(inbox.put(archive({f"{n}.dcm": encode(make_ct(n))}), key=f"{n}.zip"), message_id=f"m-{n}")
        for n in range(1, 10)
    ]
    poison = record("no JSON", message_id="poison")
    answer = inbox.invoke(*records[:5], poison, *records[5:])
    assert answer == {"batchItemFailures": [{"itemIdentifier": "poison"}]}
    assert len(inbox.pacs.received) == 9


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        "[]",
        "[" * 100_000,
        {"Records": "many"},
        {"Records": [{}]},
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {}}]},
        event("a.zip", etag="0", version_id=None, size=1) | {"Records": [None]},
        {},
        {"archive_id": 7},
        {"archive_id": "0" * 200},
    ],
)
def test_a_message_that_is_not_ours_goes_to_the_dead_letters(inbox: Inbox, body: Any) -> None:
    assert inbox.handle(body) == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}


def test_an_event_of_another_bucket_is_not_ours(inbox: Inbox) -> None:
    other = inbox.put(archive())
    other["Records"][0]["s3"]["bucket"]["name"] = "somebody-elses"
    assert inbox.handle(other)["batchItemFailures"]
    assert inbox.pacs.received == []


def test_without_a_destination_nothing_is_taken_and_somebody_is_told(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zip_ingest import place

    monkeypatch.setattr(run, "open_route", place.open_route)
    monkeypatch.setenv("INGEST_DESTINATION", "")
    arrived = inbox.put(archive())
    assert inbox.handle(arrived) == NOTHING_FAILED
    assert (inbox.row(arrived).setbacks, inbox.row(arrived).position) == (1, 0)


def test_another_destination_gets_what_the_first_one_has(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.handle(inbox.put(archive()))
    monkeypatch.setenv("INGEST_DESTINATION", "dicom://OTHER@pacs.example:104")
    ingest_settings.cache_clear()
    inbox.handle(inbox.put(archive()), message_id="m-2")
    assert len(inbox.pacs.received) == 4


def test_a_fault_of_ours_is_a_setback_and_not_a_lost_archive(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = inbox.put(archive())

    def fail(instance: Outgoing) -> Outcome:
        raise ZeroDivisionError

    inbox.pacs.answer = fail
    assert inbox.handle(arrived) == NOTHING_FAILED
    assert inbox.row(arrived).setbacks == 1
    assert len(inbox.messages()) == 1


def test_no_name_and_no_uid_is_in_logs_metrics_queues_or_keys(
    inbox: Inbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    good = make_ct(1)
    members = {"CANARY/Conceição.dcm": encode(good), "CANARY-cut.dcm": GOOD["b.dcm"][:-9]}
    arrived = inbox.put(archive(members), key="CANARY Conceição.zip")
    inbox.handle(arrived)
    inbox.handle(inbox.put(b"no archive", key="CANARY-2.zip"))
    assert inbox.report(arrived)["totals"]["accepted"] == 1
    out = capsys.readouterr()
    ours = "".join(
        f"{line.getMessage()} {line.__dict__}\n"
        for line in caplog.records
        if line.name.startswith(("ponte", "zip_ingest"))
    )
    queues = [inbox.messages(name) for name in ("ingest", "ingest-dead", "webhook")]
    keys = [key for prefix in ("reports/", "parts/", "quarantine/") for key in inbox.keys(prefix)]
    said = repr([out.out, out.err, ours, queues, keys])
    for canary in ("CANARY", "Concei", "CANARIO", good.SOPInstanceUID, good.StudyInstanceUID):
        assert canary not in said
    assert archive_id_of(arrived) in said


def test_counts_by_verdict_and_reason_bytes_and_latency_are_metrics(
    inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox.handle(inbox.put(archive({**GOOD, "cut.dcm": GOOD["a.dcm"][:-9]})))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws')]
    found: dict[str, float] = {}
    for line in lines:
        name = line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"]
        label = ".".join(str(line[key]) for key in line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0])
        found[f"{name} {label}".strip()] = found.get(f"{name} {label}".strip(), 0) + line[name]
    assert found["IngestEntries accepted"] == 2
    assert found["IngestReasons TRUNCATED"] == 1
    assert found["IngestBytes"] == sum(len(data) for data in GOOD.values())
    assert found["ArchivesSettled partial"] == 1
    assert found["IngestLatencySeconds ingest"] > 0
