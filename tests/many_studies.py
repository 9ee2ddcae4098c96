"""A database of a clinic of years, made in seconds: rows alone, no images. For tests and benches of what
reads them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import batched
from pathlib import Path
from typing import Any, Final

from router.database import FILE_NAME, Database
from router.spool import FOLDER_NAME
from router.views_rows import STATES, describe_some
from tests.factories import uid

BEGAN: Final = 1.7e9
DESTINATIONS: Final = ("cloud", "pacs")
_BETWEEN_S: Final = 300.0
_FAMILIES = ("Silva", "Conceição", "Araújo", "Müller", "Gonçalves", "Nuñez", "Sørensen", "Okafor", "Tanaka")
_GIVEN = ("MARIA", "JOSÉ", "ANA", "JOÃO", "INÊS", "PAULO", "ZOË", "LUÍS", "BEATRIZ", "CANARIO")
_TOGETHER = 10_000
_SYNTAX, _CT, _MR = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def make(root: Path, *, studies: int = 10_000, images: int = 100) -> Path:
    """Write `studies` of `images` each into the rows of `root`, each image planned for both destinations.

    Nearly all were sent to both; of the last study all waits, and every hundredth has an image that was
    refused. Nine of ten are removed. The same for the same numbers.
    """
    folder = root / FOLDER_NAME
    folder.mkdir(mode=0o700, parents=True)
    database = Database(folder / FILE_NAME)
    triggers = database.run("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    database.run("PRAGMA synchronous = OFF")
    database.begin()
    for name, _ in triggers:
        database.run(f"DROP TRIGGER {name}")
    _fill(database, studies, images)
    _count(database)
    for _, script in triggers:
        database.run(script)
    database.commit()
    while _described(database):
        pass
    database.settle()
    database.close()
    return folder / FILE_NAME


def _described(database: Database) -> bool:
    database.begin()
    has_more = all(describe_some(database) for _ in range(20))
    database.commit()
    return has_more


def study_uid(number: int) -> str:
    """Of the study of this number, from 0 on."""
    return uid("many", "study", number)


def _fill(database: Database, studies: int, images: int) -> None:
    facts = ("association-1", "CT1", "STORESCP", "192.0.2.7", "104", None, BEGAN, BEGAN, "released")
    _insert(database, "associations", iter([facts]))
    _insert(database, "studies", (_study(number) for number in range(studies)))
    _insert(database, "study_folders", (_folder(number, images) for number in range(studies)))
    _insert(database, "study_parts", (_part(number) for number in range(studies)))
    _insert(database, "instances", _instances(studies, images))
    count = studies * images
    kept_from = count - count // 10
    organised = ((n, study_uid((n - 1) // images), 1, f"CT.{n}.dcm" if n > kept_from else None, BEGAN)
                 for n in range(1, count + 1))  # fmt: skip
    _insert(database, "organised", organised)
    _insert(database, "deliveries", _deliveries(studies, images))
    for name in DESTINATIONS:
        database.run("INSERT INTO delivery_positions VALUES (?, ?, 1)", (name, count))
    database.run("INSERT INTO positions VALUES ('organised', ?)", (count,))


def _insert(database: Database, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    for some in batched(rows, _TOGETHER):
        marks = ", ".join("?" * len(some[0]))
        database.run_many(f"INSERT INTO {table} VALUES ({marks})", some)


def _study(number: int) -> tuple[Any, ...]:
    luck = random.Random(number)
    name = f"{luck.choice(_FAMILIES)}^{luck.choice(_GIVEN)} {luck.choice(_GIVEN)}"
    at = BEGAN + number * _BETWEEN_S
    return (
        study_uid(number), b"ISO_IR 192", f"ID-{number:06}".encode(), name.encode(), b"20260122", b"141500",
        f"ACC{number:06}".encode(), "Crânio sem contraste".encode(), at, at + 60,
    )  # fmt: skip


def _folder(number: int, images: int) -> tuple[Any, ...]:
    folder = f"20260122_141500_ID-{number:06}"
    return study_uid(number), folder, folder.casefold(), images, 1, '{"folder": ""}'


def _part(number: int) -> tuple[Any, ...]:
    at = BEGAN + number * _BETWEEN_S
    return study_uid(number), 1, "complete", at, at + 120, "association", number + 1


def _instances(studies: int, images: int) -> Iterator[tuple[Any, ...]]:
    kept_from = studies * images - studies * images // 10
    for study in range(studies):
        uid_of_study, at = study_uid(study), BEGAN + study * _BETWEEN_S
        series = [f"{uid_of_study}.{number}" for number in range(4)]
        for image in range(images):
            number = study * images + image + 1
            is_kept = number > kept_from
            yield (
                number, f"{uid_of_study}.9.{image}", _MR if study % 3 else _CT, _SYNTAX, uid_of_study,
                series[image % 4], b"MR" if study % 3 else b"CT", number.to_bytes(32), 524_288, 340,
                f"{number >> 10:x}/{number:032x}.dcm", "", "association-1", "CT1", at + image * 0.5,
                at + image * 0.5 + 0.1, "kept" if is_kept else "removed", None if is_kept else at + 600,
            )  # fmt: skip


def _deliveries(studies: int, images: int) -> Iterator[tuple[Any, ...]]:
    for study in range(studies):
        at = BEGAN + study * _BETWEEN_S
        for image in range(images):
            for name in DESTINATIONS:
                state = "sent"
                if study == studies - 1:
                    state = "waiting"
                elif study % 100 == 7 and image == 3 and name == "pacs":
                    state = "refused"
                yield (
                    study * images + image + 1, name, state, 5, 0, 0 if state != "refused" else 0xA900, "",
                    1, None, 0, 0.0, at, at + 90 if state == "sent" else None, None, 0, None, None, at + 90,
                    None, None,
                )  # fmt: skip


def _count(database: Database) -> None:
    """What the triggers would have."""
    sums = ", ".join(f"sum(d.state = '{state}')" for state in STATES)
    names = ", ".join(STATES)
    database.run("DELETE FROM kept_totals")
    database.run(
        "INSERT INTO kept_totals SELECT 1, count(*), sum(state = 'kept'),"
        " sum((state = 'kept') * size_bytes) FROM instances"
    )
    database.run(
        "INSERT INTO study_overviews (study_instance_uid, images, kept, size_bytes)"
        " SELECT study_instance_uid, count(*), sum(state = 'kept'), sum(size_bytes) FROM instances"
        " GROUP BY study_instance_uid ORDER BY min(number)"
    )
    database.run(
        f"INSERT INTO study_deliveries (study_instance_uid, destination, {names})"
        f" SELECT i.study_instance_uid, d.destination, {sums} FROM deliveries d"
        " JOIN instances i ON i.number = d.number GROUP BY 1, 2"
    )
    database.run(
        f"INSERT INTO destination_totals (destination, {names}, last_sent_at)"
        f" SELECT d.destination, {sums}, max(d.sent_at) FROM deliveries d GROUP BY 1"
    )
