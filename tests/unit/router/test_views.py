"""What whoever looks reads of the rows, while the router runs and while it does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from ponte.errors import InvalidRequest
from ponte.quarantine import Release
from router import control_rows, delivery_rows
from router.database import FILE_NAME, MIGRATIONS, Database
from router.delivery_rows import Result, State
from router.organiser_rows import NO_STUDY
from router.savepoint import run_apart
from router.views import (
    SEARCH_STATES,
    NoRouterHere,
    Page,
    Search,
    StudyDelivery,
    StudyView,
    Totals,
    Views,
)
from router.views_rows import day_of, describe_some
from tests.factories import STUDY_UID, make_ct, make_report, uid
from tests.many_studies import make, study_uid
from tests.unit.router.organised import House

SCHEMA_1 = Path(__file__).parent / "schema_1.sql"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.close()


def plan(house: House, *destinations: str) -> None:
    """All that was received is to go to each of them."""

    def apply(database: Database) -> None:
        delivery_rows.configure(database, destinations)
        expected = delivery_rows.positions(database)
        after = min(expected.values())
        found = delivery_rows.candidates(database, after, 1000)
        planned = [
            delivery_rows.Planned(one.number, one.sop_instance_uid, name, 5, False, False)
            for one in found
            for name in destinations
        ]
        assert delivery_rows.plan(database, expected, planned, found[-1].number, house.day())

    run_apart(house.store.committer, apply)


def settle(house: House, destination: str, *states: State) -> None:
    """What the next in the queue became, one after the other."""

    def apply(database: Database) -> None:
        taken = delivery_rows.claim(database, destination, len(states), 1 << 40, house.day())
        at = house.day()
        results = [
            Result(one, state, "", 0, 1, sent_at=at if state == "sent" else None)
            for one, state in zip(taken, states, strict=True)
        ]
        delivery_rows.settle(database, destination, results)

    run_apart(house.store.committer, apply)


def study_of(house: House, study_uid: str = STUDY_UID) -> StudyView:
    with Views(house.root) as views:
        found = views.study(study_uid)
    assert found is not None
    return found


def found_by(house: House, **search: str) -> list[str]:
    with Views(house.root) as views:
        return [one.study_instance_uid for one in views.studies(Search(**search), 100).studies]


def test_where_no_router_has_worked_there_is_nothing_to_see(tmp_path: Path) -> None:
    with pytest.raises(NoRouterHere) as refused:
        Views(tmp_path)
    assert refused.value.code == "NO_ROUTER_HERE"
    assert not list(tmp_path.iterdir())


def test_rows_are_read_while_no_router_runs(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.store.send(make_ct())
    house.organise()
    house.close()
    with Views(tmp_path) as views:
        assert views.totals() == Totals(1, 1, 1, views.instances(STUDY_UID)[0].size_bytes)


def test_nothing_can_be_written(house: House) -> None:
    with Views(house.root) as views, pytest.raises(sqlite3.OperationalError, match=r"read-?only"):
        views._connection.execute("DELETE FROM instances")


def test_rows_of_another_version_are_said_to_be_so(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.store.committer.run(lambda database: database.run("PRAGMA user_version = 3"))
    house.close()
    with pytest.raises(InvalidRequest, match=r"has schema 3.*start the router") as refused:
        Views(tmp_path)
    assert refused.value.code == "SCHEMA"


def test_a_study_has_what_it_is_called_and_how_much_there_is_of_it(house: House) -> None:
    for instance in (make_ct(1), make_ct(2), make_report()):
        house.store.send(instance)
    house.organise()
    study = study_of(house)
    assert (study.patient_id, study.patient_name) == ("CANARY-ID-1", "CANARIO^Conceição")
    assert (study.modalities, study.images, study.kept) == (("CT", "SR"), 3, 3)
    assert (study.state, study.quarantined, study.folder) == ("open", 0, next(iter(house.tree())))
    assert "CANAR" not in repr(study)
    house.complete()
    assert study_of(house).state == "complete"


def test_what_was_removed_and_came_again_counts_once(house: House) -> None:
    house.store.send(make_ct(1))
    house.organise()
    house.confirm_all()
    house.remove()
    gone = study_of(house)
    assert (gone.images, gone.kept) == (1, 0)
    with Views(house.root) as views:
        (row,) = views.instances(STUDY_UID)
        assert views.totals().bytes_kept == 0
    assert row.state == "removed"
    assert row.removed_at is not None
    house.store.send(make_ct(1))
    house.organise()
    again = study_of(house)
    assert (again.images, again.kept) == (1, 1)
    with Views(house.root) as views:
        assert views.totals().instances_ever == 1
        assert [one.images for one in views.series(STUDY_UID)] == [1]


def test_counts_follow_each_delivery(house: House) -> None:
    for number in range(1, 6):
        house.store.send(make_ct(number))
    house.organise()
    plan(house, "pacs", "cloud")
    settle(house, "pacs", "sent", "refused", "given_up", "skipped")
    assert study_of(house).destinations == (
        StudyDelivery("cloud", 5, 0, 0, 0, 0, 0),
        StudyDelivery("pacs", 1, 1, 0, 1, 1, 1),
    )
    with Views(house.root) as views:
        cloud, pacs = views.queues()
    assert (pacs.waiting, pacs.sent, pacs.refused, pacs.given_up, pacs.skipped) == (1, 1, 1, 1, 1)
    assert pacs.last_sent_at == house.day()
    assert (cloud.waiting, cloud.last_sent_at, cloud.active) == (5, None, True)
    house.store.committer.run(lambda database: control_rows.retry(database, range(1, 6), "pacs"))
    house.store.committer.run(lambda database: delivery_rows.configure(database, ["pacs"]))
    with Views(house.root) as views:
        cloud, pacs = views.queues()
    assert (pacs.waiting, pacs.refused, pacs.given_up) == (3, 0, 0)
    assert not cloud.active


def test_the_oldest_that_is_not_forwarded_may_be_one_that_nobody_decided_on(house: House) -> None:
    """A planner that stands still must not look as if all was well."""
    with Views(house.root) as views:
        assert views.oldest_unforwarded_at() is None
    house.store.send(make_ct(1))
    with Views(house.root) as views:
        assert views.oldest_unforwarded_at() is None, "there is no destination"
    house.store.committer.run(lambda database: delivery_rows.configure(database, ["pacs"]))
    with Views(house.root) as views:
        (first,) = views.instances(STUDY_UID)
        assert views.oldest_unforwarded_at() == first.durable_at
    plan(house, "pacs")
    with Views(house.root) as views:
        assert views.oldest_unforwarded_at() == first.durable_at
    settle(house, "pacs", "sent")
    with Views(house.root) as views:
        assert views.oldest_unforwarded_at() is None


@pytest.mark.parametrize(
    "search",
    [
        {"patient_name": "conceicao"},
        {"patient_name": "CONCEIÇÃO canario"},
        {"patient_id": "canary-id"},
        {"text": "Canário id-1"},
        {"date_from": "2026-01-22", "date_to": "20260122"},
        {"state": "open"},
    ],
)
def test_a_study_is_found_whatever_the_case_and_the_accents(house: House, search: dict[str, str]) -> None:
    house.store.send(make_ct(1))
    house.organise()
    assert found_by(house, **search) == [STUDY_UID]


@pytest.mark.parametrize(
    "search",
    [
        {"patient_name": "conceicao silva"},
        {"patient_id": "2"},
        {"accession": "x"},
        {"date_from": "20260123"},
        {"date_to": "20260121"},
        {"state": "complete"},
        {"state": "failed"},
        {"state": "waiting"},
        {"state": "quarantined"},
        {"text": "%"},
    ],
)
def test_a_study_that_is_not_meant_is_not_found(house: House, search: dict[str, str]) -> None:
    house.store.send(make_ct(1))
    house.organise()
    assert found_by(house, **search) == []


def test_names_in_other_scripts_are_found_by_any_group(house: House) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    house.store.send(make_ct(1, SpecificCharacterSet="ISO_IR 192", PatientName=name))
    house.organise()
    for text in ("tarou", "山田", "やまだ"):
        assert found_by(house, patient_name=text) == [STUDY_UID], text


@pytest.mark.parametrize("state", ["failed", "waiting", "quarantined"])
def test_studies_that_somebody_must_look_at_are_found(house: House, state: str) -> None:
    house.store.send(make_ct(1))
    house.store.send(make_ct(2))
    house.store.send(replace_pixels(make_ct(1)))
    house.organise()
    plan(house, "pacs")
    settle(house, "pacs", "refused")
    assert found_by(house, state=state) == [STUDY_UID]


def replace_pixels(instance: FileDataset) -> FileDataset:
    """Another content under the same UID."""
    instance.PixelData = bytes(len(instance.PixelData))
    return instance


@pytest.mark.parametrize(
    "search", [{"date_from": "yesterday"}, {"date_to": "2026"}, {"state": "lost"}], ids=str
)
def test_a_search_that_makes_no_sense_is_refused_and_quotes_no_patient(
    house: House, search: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest):
        found_by(house, **search)
    with Views(house.root) as views, pytest.raises(InvalidRequest):
        views.studies(Search(), 10, "x")


def test_pages_have_each_study_once_the_newest_first(house: House) -> None:
    studies = [uid("study", number) for number in range(7)]
    for number, study in enumerate(studies):
        house.store.send(make_ct(number + 1, StudyInstanceUID=study))
    pages: list[Page] = []
    with Views(house.root) as views:
        after: str | None = None
        while not pages or pages[-1].next:
            pages.append(views.studies(Search(), 3, after))
            after = pages[-1].next
    assert [len(page.studies) for page in pages] == [3, 3, 1]
    assert [one.study_instance_uid for page in pages for one in page.studies] == studies[::-1]


def test_what_belongs_to_no_study_is_in_no_list_and_in_the_totals(house: House) -> None:
    instance = make_ct(1)
    del instance.StudyInstanceUID
    house.store.send(instance)
    house.organise()
    with Views(house.root) as views:
        assert not views.studies(Search(), 10).studies
        assert (views.totals().studies, views.totals().instances_kept) == (0, 1)
        assert len(views.instances(NO_STUDY)) == 1


def test_quarantine_counts_what_nobody_has_decided_on(house: House) -> None:
    house.store.send(make_ct(1))
    house.store.send(replace_pixels(make_ct(1)))
    with Views(house.root) as views:
        assert views.quarantine_counts() == {"UID_CONFLICT": 1}
        assert study_of(house).quarantined == 1
        (entry,) = house.store.quarantine.list()
        house.store.quarantine.mark_released(entry.id, Release("2026-01-22", "pacs", "stored"))
        assert views.quarantine_counts() == {}
        assert study_of(house).quarantined == 0
        house.store.quarantine.purge(entry.id)
        assert views.quarantine_counts() == {}
        (row,) = views.quarantined(STUDY_UID)
    assert (row.reason, row.is_there) == ("UID_CONFLICT", False)


def test_instances_come_page_by_page_with_their_deliveries(house: House) -> None:
    instances = [make_ct(number) for number in range(1, 6)]
    for number, instance in enumerate(instances):
        house.store.send(instance)
        house.store.send(make_ct(10 + number, StudyInstanceUID=uid("other")))
    plan(house, "cloud", "pacs")
    settle(house, "pacs", "sent", "sent", "refused")
    with Views(house.root) as views:
        first = views.instances(STUDY_UID, 3)
        second = views.instances(STUDY_UID, 3, first[-1].number)
    assert [one.sop_instance_uid for one in first + second] == [one.SOPInstanceUID for one in instances]
    assert [[d.destination for d in one.deliveries] for one in first] == [["cloud", "pacs"]] * 3
    assert [one.deliveries[1].state for one in first] == ["sent", "refused", "waiting"]
    sent, refused, waiting = (one.deliveries[1] for one in first)
    assert (sent.sent_at, refused.sent_at, waiting.sent_at) == (house.day(), None, None)
    assert sent.settled_at is not None
    assert waiting.settled_at is None
    assert first[0].address == "192.0.2.7"
    assert len(first[0].sha256) == 64


def test_what_is_to_be_sent_again_does_not_say_that_it_was_sent(house: House) -> None:
    house.store.send(make_ct(1))
    plan(house, "pacs")
    settle(house, "pacs", "sent")
    house.store.committer.run(
        lambda database: database.run("UPDATE deliveries SET state = 'waiting', committed_at = 1")
    )
    with Views(house.root) as views:
        (delivery,) = views.instances(STUDY_UID)[0].deliveries
    assert (delivery.state, delivery.sent_at, delivery.committed_at) == ("waiting", None, None)


def test_the_timeline_says_what_happened_in_its_order(house: House) -> None:
    house.store.send(make_ct(1))
    house.store.send(make_ct(2))
    house.complete()
    plan(house, "pacs")
    settle(house, "pacs", "sent", "refused")
    house.confirm_all()
    house.remove()
    with Views(house.root) as views:
        events = views.timeline(STUDY_UID)
    told = {(event.kind, event.destination, event.count) for event in events}
    assert told == {
        ("first_received", None, 1),
        ("last_received", None, 2),
        ("complete", None, 2),
        ("sent", "pacs", 1),
        ("refused", "pacs", 1),
        ("removed", None, 2),
    }
    times = [event.at for event in events if event.at is not None]
    assert times == sorted(times)


def test_counts_kept_by_triggers_are_those_that_a_count_gives(house: House) -> None:
    for number in range(1, 9):
        house.store.send(make_ct(number, StudyInstanceUID=uid("study", number % 3)))
    plan(house, "cloud", "pacs")
    settle(house, "pacs", "sent", "refused", "given_up", "sent")
    settle(house, "cloud", "sent", "skipped")
    house.store.committer.run(delivery_rows.resume)
    house.store.committer.run(lambda database: database.change_state(make_ct(3).SOPInstanceUID, "missing"))

    def counted(database: Database) -> list[tuple[object, ...]]:
        return database.run(
            "SELECT i.study_instance_uid, d.destination, sum(d.state = 'waiting'), sum(d.state = 'sending'),"
            " sum(d.state = 'sent'), sum(d.state = 'refused'), sum(d.state = 'given_up'),"
            " sum(d.state = 'skipped') FROM deliveries d JOIN instances i USING (number) GROUP BY 1, 2"
        ).fetchall()

    def kept(database: Database) -> list[tuple[object, ...]]:
        return database.run(
            "SELECT study_instance_uid, destination, waiting, sending, sent, refused, given_up, skipped"
            " FROM study_deliveries ORDER BY 1, 2"
        ).fetchall()

    assert house.rows(kept) == house.rows(counted)
    totals = house.rows(lambda database: database.run("SELECT * FROM kept_totals").fetchone())
    assert totals[1:3] == (8, 7)


def old_database(root: Path, more: str = "") -> Path:
    """As the first version wrote it."""
    path = root / ".spool" / FILE_NAME
    path.parent.mkdir()
    old = sqlite3.connect(path)
    old.executescript(SCHEMA_1.read_text(encoding="utf-8"))
    if more:
        old.executescript(more)
    old.close()
    return path


def test_rows_of_the_first_version_are_counted_and_found_after_the_update(tmp_path: Path) -> None:
    """FI-30."""
    database = Database(old_database(tmp_path))
    assert database.run("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    with Views(tmp_path) as views:
        study = views.study("1.2.3")
        assert study is not None
        assert (study.images, study.kept, study.bytes, study.modalities) == (2, 1, 2000, ())
        assert views.totals() == Totals(1, 1, 2, 1000)
        assert not views.studies(Search(patient_name="canario"), 10).studies
        assert [one.removed_at for one in views.instances("1.2.3")] == [None, None]
        assert not describe_some(database)
        assert [one.modalities for one in views.studies(Search(patient_name="canario"), 10).studies] == [
            ("CT",)
        ]
    database.close()


def test_deliveries_of_before_are_counted_by_the_update(tmp_path: Path) -> None:
    """FI-30."""
    path = old_database(tmp_path)
    database = Database(path, migrations=MIGRATIONS[:3])
    database.run("INSERT INTO delivery_positions VALUES ('pacs', 2, 1)")
    database.run(
        "INSERT INTO deliveries (number, destination, state, priority, planned_at, wants_commitment, sent_at)"
        " VALUES (1, 'pacs', 'waiting', 5, 1.0, 0, NULL), (2, 'pacs', 'sent', 5, 1.0, 0, 7.0)"
    )
    database.close()
    Database(path).close()
    with Views(tmp_path) as views:
        (queue,) = views.queues()
        study = views.study("1.2.3")
    assert (queue.waiting, queue.sent, queue.last_sent_at) == (1, 1, 7.0)
    assert queue.oldest_waiting_at == 1700000000.1
    assert study is not None
    assert study.destinations == (StudyDelivery("pacs", 1, 1, 0, 0, 0, 0),)
    assert study.quarantined == 0


def test_many_studies_of_before_are_described_a_few_at_a_time(tmp_path: Path) -> None:
    more = "".join(
        f"INSERT INTO studies VALUES ('1.9.{n}', NULL, NULL, x'41', NULL, NULL, NULL, NULL, {n}, {n});"
        for n in range(50)
    )
    database = Database(old_database(tmp_path, more))
    turns = 1
    while describe_some(database):
        turns += 1
    assert turns == 3
    left = "SELECT count(*) FROM study_overviews WHERE name_key IS NULL"
    assert database.run(left).fetchone() == (0,)
    database.close()


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clinic")
    make(root, studies=200, images=5)
    return root


def test_no_page_reads_all_instances_or_all_deliveries(clinic: Path) -> None:
    """By SQLite's own account of how it reads: nothing but the studies themselves is gone through."""
    asked: list[str] = []
    with Views(clinic) as views:
        views._connection.set_trace_callback(asked.append)
        look_at_everything(views)
        views._connection.set_trace_callback(None)
        plans = {
            step[3]
            for query in asked
            if query.lstrip().startswith("SELECT")
            for step in views._connection.execute(f"EXPLAIN QUERY PLAN {query}")
        }
    of_some = ("waiting_studies", "failed_studies")  # indexes that hold nothing but what is looked for
    scans = {step.split()[1] for step in plans if step.startswith("SCAN") and not step.endswith(of_some)}
    assert len(asked) > 20
    assert scans <= {"o", "s", "study_overviews", "kept_totals", "p", "delivery_positions", "CONSTANT"}, plans


def look_at_everything(views: Views) -> None:
    study = study_uid(150)
    views.queues()
    views.oldest_unforwarded_at()
    views.quarantine_counts()
    views.totals()
    for state in SEARCH_STATES:
        views.studies(Search(state=state), 50)
    views.studies(Search("silva", "id", "acc", "20260101", "20261231", "cranio"), 50, "100")
    views.study(study)
    views.series(study)
    views.instances(study, 500)
    views.timeline(study)
    views.quarantined(study)
    views.expected(study, "pacs")
    views.studies_called("ACC000007")


def test_a_clinic_of_years_is_found_as_it_was_made(clinic: Path) -> None:
    with Views(clinic) as views:
        assert views.totals() == Totals(200, 100, 1000, 100 * 524_288)
        queues = {one.destination: (one.waiting, one.sent, one.refused) for one in views.queues()}
        assert queues == {"cloud": (5, 995, 0), "pacs": (5, 993, 2)}
        assert views.studies_called("acc000007") == [study_uid(7)]
        assert views.studies_called("ID-000007") == views.studies_called(study_uid(7)) == [study_uid(7)]
        assert views.studies_called("ID-00000") == views.studies_called("") == []
        failed = views.studies(Search(state="failed"), 50).studies
        assert [one.study_instance_uid for one in failed] == [study_uid(107), study_uid(7)]
        assert views.studies_since(views.studies(Search(), 1).studies[0].first_received_at) == [
            study_uid(199)
        ]


@pytest.mark.parametrize(
    ("date", "day"),
    [("20260122", "20260122"), ("2026-01-22", "20260122"), ("1994.02.03", "19940203"), ("2026", None),
     ("UNKNOWN1", None), ("", None), ("２０２６０１２２", None)],
)  # fmt: skip
def test_a_date_is_one_or_is_none(date: str, day: str | None) -> None:
    assert day_of(date) == day


def test_what_is_committed_was_sent_too(house: House) -> None:
    house.store.send(make_ct(1))
    plan(house, "pacs")
    settle(house, "pacs", "sent")
    house.store.committer.run(
        lambda database: database.run("UPDATE deliveries SET state = 'committed', committed_at = 1.9e9")
    )
    with Views(house.root) as views:
        kinds = {event.kind: event.at for event in views.timeline(STUDY_UID)}
    assert (kinds["sent"], kinds["committed"]) == (house.day(), 1.9e9)
