"""The rows that people change: what was there before them, and what a page of them costs."""

from __future__ import annotations

from pathlib import Path

from router import control_rows, delivery_rows
from router.control_rows import PAGE, Which
from router.database import MIGRATIONS, Database
from router.delivery_rows import DISMISSED
from router.savepoint import run_apart
from tests.factories import STUDY_UID, make_ct
from tests.unit.router.forwarding import receive
from tests.unit.router.store import Store


def test_what_was_dismissed_before_these_rows_is_counted_as_that(tmp_path: Path) -> None:
    """From the schema before."""
    store = Store(tmp_path)
    receive(store, [make_ct(1), make_ct(2), make_ct(3)])
    store.close()
    path = tmp_path / ".spool" / "router.db"
    database = Database(path)
    database.begin()
    for statement in (
        "DROP TABLE held_destinations", "DROP TABLE urgent_studies", "DROP TRIGGER delivery_closed_by_hand",
        "ALTER TABLE study_deliveries DROP COLUMN dismissed",
        "ALTER TABLE destination_totals DROP COLUMN dismissed",
    ):  # fmt: skip
        database.run(statement)
    for number, detail in ((1, DISMISSED), (2, "It was there already"), (3, "")):
        database.run(
            "INSERT INTO deliveries (number, destination, state, priority, planned_at, wants_commitment,"
            " detail) VALUES (?, 'pacs', ?, 5, 0, 0, ?)",
            (number, "skipped" if detail else "sent", detail),
        )
    database.run("PRAGMA user_version = 4")
    database.commit()
    database.close()
    database = Database(path)
    for table in ("study_deliveries", "destination_totals"):
        assert database.run(f"SELECT sent, skipped, dismissed FROM {table}").fetchall() == [(1, 2, 1)]
    assert database.run("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    database.close()


def test_a_page_is_found_by_an_index_however_much_there_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    receive(store, [make_ct(1)])
    run_apart(store.committer, lambda database: delivery_rows.configure(database, ["pacs"]))
    for which in (Which("pacs"), Which(study=STUDY_UID)):
        plans: list[str] = []

        def note(database: Database, which: Which = which, plans: list[str] = plans) -> None:
            class Explained:
                def run(self, statement: str, values: object = ()) -> object:
                    rows = database.run(f"EXPLAIN QUERY PLAN {statement}", values)  # type: ignore[arg-type]
                    plans.extend(str(row[3]) for row in rows)
                    return []

            control_rows.page(Explained(), which, 0)  # type: ignore[arg-type]

        run_apart(store.committer, note)
        assert plans
        assert all("SEARCH" in plan and "INDEX" in plan for plan in plans), plans
    assert PAGE <= 1000, "a page is one transaction, for which those who receive wait"
    store.close()
