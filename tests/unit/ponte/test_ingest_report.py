"""The report says of every member what became of it, and never more success than there was."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ponte.archive import Archive
from ponte.destination import Outcome
from ponte.errors import DestinationUnavailable, UnsafeArchive
from ponte.ingest import BatchLimits, Entry, Route, Settled, ingest
from ponte.ingesting.page import MOST_PROBLEMS, MOST_ROWS
from ponte.ingesting.report import Report
from ponte.ingesting.words import NOTES, REASONS, WORDS, Language
from tests.corpus import ROOT
from tests.destinations import Recorder
from tests.factories import encode, make_ct
from tests.hazards.archives import Builder, archive

A = encode(make_ct(1))
UID = str(make_ct(1).SOPInstanceUID)
ARRIVED = datetime(2026, 1, 22, 14, 15, 30, tzinfo=UTC)
LANGUAGES: tuple[Language, ...] = ("pt-BR", "en")


class Clock:
    def __init__(self) -> None:
        self.now = ARRIVED

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=2.5)
        return self.now


def report_on(data: bytes, destination: Recorder | None = None, **limits: int) -> Report:
    report = Report("exam.zip", sha256="ab" * 32, arrived_at=ARRIVED, now=Clock())
    route = Route(destination or Recorder(), limits=BatchLimits(**limits), sleep=lambda _: None)
    for settled in ingest(Archive(io.BytesIO(data)), identity="x", route=route):
        report.take(settled)
    report.finish()
    return report


MIXED = archive(
    {"<script>alert(1)</script>": A, "b": encode(make_ct(2)), "c&'\"": b"text", "Thumbs.db": b"x"}
)


def test_the_object_has_the_shape_of_the_command() -> None:
    said = report_on(MIXED).as_json("clear")
    assert {"path", "sha256", "verdict", "reason", "entries", "totals"} <= said.keys()
    assert (said["path"], said["sha256"], said["verdict"], said["reason"]) == (
        "exam.zip",
        "ab" * 32,
        "partial",
        None,
    )
    wanted = {"name", "verdict", "reason", "detail", "sop_instance_uid", "sha256", "destination"}
    assert all(wanted <= entry.keys() for entry in said["entries"])
    assert said["entries"][0]["sop_instance_uid"] == UID
    assert said["entries"][0]["destination"] == {"status": "stored", "detail": "", "reason": None}
    json.dumps(said)


def test_the_kept_report_has_uids_hashed_and_names_no_uid() -> None:
    said = json.dumps(report_on(MIXED).as_json())
    assert UID not in said
    assert hashlib.sha256(UID.encode()).hexdigest() in said


def test_totals_add_up_and_time_runs_from_arrival_to_the_last_confirmation() -> None:
    totals = report_on(MIXED).totals
    numbers = {name: totals[name] for name in ("entries", "accepted", "duplicate", "skipped", "quarantined")}
    assert numbers == {"entries": 4, "accepted": 2, "duplicate": 0, "skipped": 1, "quarantined": 1}
    assert (totals["delivered"], totals["not_delivered"]) == (2, 2)
    assert totals["delivered_bytes"] == len(A) + len(encode(make_ct(2)))
    assert totals["bytes"] == totals["delivered_bytes"] + 5
    assert totals["reasons"] == {"NOT_DICOM": 1, "IGNORED_NAME": 1}
    assert totals["latency_s"] == 5.0


@pytest.mark.parametrize(
    ("members", "verdict", "reason"),
    [
        ({"a": A}, "done", None),
        ({"a": A, "Thumbs.db": b"x"}, "done", None),
        ({"a": A, "x": b"text"}, "partial", None),
        ({"x": b"text"}, "quarantined", None),
        ({"Thumbs.db": b"x"}, "quarantined", "ZIP_EMPTY"),
    ],
)
def test_success_is_said_only_where_something_was_accepted(
    members: dict[str, bytes], verdict: str, reason: str | None
) -> None:
    report = report_on(archive(members))
    assert (report.verdict, report.reason) == (verdict, reason)


def test_an_archive_that_was_refused_or_interrupted_says_so() -> None:
    refused = Report("x")
    refused.refuse(UnsafeArchive("two ends", code="ZIP_AMBIGUOUS"), "id")
    said = refused.as_json()
    assert (said["verdict"], said["reason"], said["quarantine_id"]) == ("quarantined", "ZIP_AMBIGUOUS", "id")
    stopped = Report("x")
    stopped.interrupt(DestinationUnavailable("down"))
    assert stopped.verdict == "partial"
    assert stopped.as_json()["error"] == {"code": "PACS_ERROR", "detail": "down"}
    assert "Interrompido" in stopped.as_page()


def test_parts_join_to_what_one_run_says_members_that_came_twice_included() -> None:
    data = archive(
        {"1": A, "in.zip": archive({"x": encode(make_ct(3)), "y": encode(make_ct(4))}), "5": b"text"}
    )
    whole = report_on(data).as_json()
    settled = list(
        ingest(
            Archive(io.BytesIO(data)),
            identity="x",
            route=Route(Recorder(), limits=BatchLimits(batch_instances=1)),
        )
    )
    first, second = Report("exam.zip", arrived_at=ARRIVED, now=Clock()), Report("exam.zip")
    for part in settled[:3]:
        first.take(part)
    second.add(json.loads(json.dumps(first.as_json())))
    for part in settled[1:]:
        second.take(part)
    second.finish()
    joined = second.as_json()
    assert joined["entries"] == whole["entries"]
    assert joined["arrived_at"] == whole["arrived_at"]
    assert joined["totals"] | {"latency_s": 0} == whole["totals"] | {"latency_s": 0}
    assert second.as_json("clear")["entries"][0]["sop_instance_uid"] is None


class Checked(HTMLParser):
    """Refuses what acts or is fetched, and gathers the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "iframe", "object", "img", "link", "a", "form", "svg"}
        assert not [name for name, _ in attrs if name.startswith("on") or name in {"src", "href", "style"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read_page(page: str) -> str:
    checked = Checked()
    checked.feed(page)
    assert checked.open == []
    assert "url(" not in page
    return checked.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_escaped_and_says_what_needs_attention_first(language: Language) -> None:
    destination = Recorder({UID: [Outcome(UID, "refused", "no <b>room</b>", 0xA900)]})
    page = report_on(MIXED, destination).as_page(language)
    text = read_page(page)
    assert "<script>alert(1)</script>" in text
    assert "no <b>room</b>" in text
    assert text.index(WORDS[language]["problems"]) < text.index(WORDS[language]["all"])
    assert REASONS[language]["DESTINATION_REFUSED"] in text
    assert f'lang="{language}"' in page
    assert UID not in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_code_has_a_sentence(language: Language) -> None:
    interfaces = (ROOT / "docs" / "ingest.md").read_text(encoding="utf-8")
    codes = set(re.findall(r"`([A-Z][A-Z_]{4,})`", interfaces))
    assert (
        codes - {"CHANGELOG", "CLASSIFY", "RENDER_INGESTED"}
        <= REASONS[language].keys() | NOTES[language].keys()
    )
    assert REASONS[language].keys() == REASONS["en"].keys()
    assert WORDS[language].keys() == WORDS["en"].keys()


def many(count: int, word: Any) -> Report:
    report = Report("many.zip", sha256="0" * 64)
    reason = "TRUNCATED" if word == "quarantined" else None
    blank = Entry(1, "1", "", word, reason, "cut", (), 500_000, "0" * 64, None, "1.2", None)
    numbers = range(1, count + 1)
    entries = tuple(replace(blank, ordinal=n, place=str(n), name=f"S/{n}") for n in numbers)
    report.take(Settled(entries, count))
    report.finish()
    return report


def test_a_page_of_twenty_thousand_entries_has_them_all_and_of_more_says_so(tmp_path: Path) -> None:
    page = many(MOST_ROWS, "accepted").as_page()
    assert page.count("<tr>") == MOST_ROWS + 1
    assert len(page) < 12 << 20
    more = many(MOST_ROWS + 5, "quarantined").as_page()
    assert "São mostrados os primeiros 2.000 de 20.005 itens" in more
    assert "São mostrados os primeiros 20.000 de 20.005 itens" in more
    assert more.count("<tr>") == MOST_PROBLEMS + MOST_ROWS + 4


def test_a_program_before_the_archive_is_noted() -> None:
    report = report_on(b"MZ" + bytes(500) + Builder().add(b"a", A).bytes())
    assert report.totals["notes"] == {"PREFIX_DATA": 1}
    assert NOTES["pt-BR"]["PREFIX_DATA"] in read_page(report.as_page())
