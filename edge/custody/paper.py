"""A custody receipt as a PDF: what it amounts to, then every instance in a table, however many there are.

The signed JSON is attached, and the whole PDF is signed too, so that neither can be changed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from custody.words import TEXTS, Language
from render.pages import ACCENT, GRAY, PALE, RULE
from render.pdf import A4_LANDSCAPE, BLACK, Attachment, Canvas, Colour, DocumentInfo, PdfWriter
from render.typeface import BOLD, REGULAR, Typeface
from router.receipt import Receipt, signed
from router.receipt_check import MEDIA_TYPE, blank_comment, sealed
from router.receipt_keys import SigningKey

ATTACHED_NAME: Final = "receipt.json"
_WIDTH, _HEIGHT = A4_LANDSCAPE
_LEFT, _RIGHT = 34.0, _WIDTH - 34.0
_TOP, _BOTTOM = _HEIGHT - 40, 36.0
_NUMBER, _UID, _HERE, _WHERE = _LEFT + 26, _LEFT + 34, _LEFT + 280, _LEFT + 462
_SIZE, _LINE, _GAP = 6.5, 8.0, 3.0
_TOGETHER = 20  # lines of an instance that are not parted
_COLUMNS: Final = {
    "instances": ((_LEFT, "number"), (_UID, "uid"), (_HERE, "here"), (_WHERE, "destinations")),
    "quarantined": ((_UID, "uid"), (_HERE, "reason")),
}
_COLOURS: Final[dict[str, Colour]] = {
    "DELIVERED": (0.07, 0.42, 0.2),
    "UNDER_WAY": (0.55, 0.38, 0.0),
    "ATTENTION": (0.7, 0.1, 0.1),
    "NOTHING": (0.7, 0.1, 0.1),
}
_GOOD: Final = frozenset({"sent", "committed", "already_there"})
_BAD: Final = frozenset({"refused", "given_up", "dismissed", "missing", "nowhere"})


def receipt_pdf(found: Receipt, key: SigningKey, *, language: Language, zone: tzinfo) -> bytes:
    """The receipt drawn, signed and with its JSON attached. Times are shown in `zone`."""
    attached = signed(found, key)
    made_at = datetime.fromisoformat(found["made_at"])
    paper = _Paper(json.loads(attached)["receipt"], TEXTS[language], language, zone)
    out = io.BytesIO()
    writer = PdfWriter(out, comment=blank_comment())
    for canvas in paper.canvases():
        writer.add_page(canvas, A4_LANDSCAPE, ())
    writer.add_attachment(Attachment(ATTACHED_NAME, MEDIA_TYPE, attached, made_at))
    producer = found["made_by"]["software"]
    writer.finish(DocumentInfo(TEXTS[language]["title"], producer, language, made_at))
    return sealed(out.getvalue(), key)


class _Paper:
    """The pages, filled from the top. What is drawn comes from the signed JSON alone."""

    def __init__(self, found: Mapping[str, Any], texts: Mapping[str, str], language: Language, zone: tzinfo):
        self._found = found
        self._texts = texts
        self._language = language
        self._zone = zone
        self._pages: list[Canvas] = []
        self._y = 0.0
        self._heading = ""

    def canvases(self) -> Sequence[Canvas]:
        self._begin()
        self._draw_head()
        if self._found["quarantined"]:
            self._section("quarantined")
            for one in self._found["quarantined"]:
                self._draw_quarantined(one)
        self._section("instances")
        for one in self._found["instances"]:
            self._draw_instance(one)
        for number, page in enumerate(self._pages, 1):
            self._draw_foot(page, number)
        return self._pages

    @property
    def _canvas(self) -> Canvas:
        return self._pages[-1]

    def _text(
        self, x: float, text: str, *, face: Typeface = REGULAR, size: float = _SIZE, room: float = 0.0,
        colour: Colour = BLACK,
    ) -> None:  # fmt: skip
        room = room or _RIGHT - x
        self._canvas.text(x, self._y, face.clip(text, size, room), face, size, colour)

    def _begin(self) -> None:
        page = Canvas()
        page.rectangle(0, _HEIGHT - 8, _WIDTH, 8, ACCENT)
        self._pages.append(page)
        self._y = _TOP
        if self._heading:
            self._draw_columns()

    def _room(self, height: float) -> None:
        if self._y - height < _BOTTOM:
            self._begin()

    # the head

    def _draw_head(self) -> None:
        found, texts = self._found, self._texts
        self._text(_LEFT, texts["title"], face=BOLD, size=18, colour=ACCENT)
        self._y -= 26
        self._draw_verdict()
        made_by, study = found["made_by"], found["study"]
        for label, value in (*self._patient(), (texts["study"], study["study_instance_uid"])):
            self._labelled(label, value)
        first, last = self._time(study["first_received_at"]), self._time(study["last_received_at"])
        self._labelled(texts["received"], texts["until"].format(first, last))
        maker = texts["by"].format(made_by["software"], made_by["ae_title"])
        self._labelled(texts["made"], f"{self._time(found['made_at'])} · {maker}")
        self._labelled(texts["key"], made_by["key_id"])
        self._y -= 4
        zone = texts["zone"].format(self._zone)
        for text in (self._totals(), texts["digest"], f"{texts['signed']} · {zone}"):
            for line in REGULAR.wrap(text, 8, _RIGHT - _LEFT, 3):
                self._text(_LEFT, line, size=8, colour=GRAY)
                self._y -= 11
        self._y -= 6

    def _draw_verdict(self) -> None:
        verdict = self._found["verdict"]
        lines = REGULAR.wrap(verdict[self._language], 10, _RIGHT - _LEFT - 24, 4)
        height = 26 + 13 * len(lines)
        colour = _COLOURS[verdict["code"]]
        self._canvas.rectangle(_LEFT, self._y - height + 12, _RIGHT - _LEFT, height, PALE)
        self._canvas.rectangle(_LEFT, self._y - height + 12, 4, height, colour)
        self._y -= 4
        self._text(_LEFT + 14, self._texts[verdict["code"]], face=BOLD, size=13, colour=colour)
        for line in lines:
            self._y -= 14
            self._text(_LEFT + 14, line, size=10)
        self._y -= 26

    def _labelled(self, label: str, value: str) -> None:
        self._text(_LEFT, label, size=9, colour=GRAY, room=100)
        self._text(_LEFT + 104, value, size=9)
        self._y -= 13

    def _patient(self) -> Iterator[tuple[str, str]]:
        patient = self._found["study"].get("patient")
        if patient is None:
            return
        yield self._texts["patient"], patient["patient_name"]
        yield self._texts["patient_id"], patient["patient_id"]
        yield self._texts["accession"], patient["accession_number"]
        yield self._texts["description"], patient["study_description"]

    def _totals(self) -> str:
        totals = self._found["totals"]
        names = (
            "instances", "delivered", "under_way", "failed", "dismissed", "nowhere", "lost", "kept",
            "removed", "missing", "quarantined_open",
        )  # fmt: skip
        return self._texts["totals"].format(*(totals[name] for name in names))

    # the tables

    def _section(self, name: str) -> None:
        self._heading = ""
        self._room(60)
        self._y -= 8
        self._text(_LEFT, self._texts[name], face=BOLD, size=11, colour=ACCENT)
        self._y -= 14
        self._heading = name
        self._draw_columns()

    def _draw_columns(self) -> None:
        for x, name in _COLUMNS[self._heading]:
            self._text(x, self._texts[name], face=BOLD, size=_SIZE, colour=GRAY)
        self._y -= 4
        self._canvas.line(_LEFT, self._y, _RIGHT, self._y, 0.5, RULE)
        self._y -= 9

    def _draw_instance(self, one: Mapping[str, Any]) -> None:
        where = list(self._where(one))
        self._room(_LINE * min(max(2, len(where)), _TOGETHER) + _GAP)
        top, page = self._y, len(self._pages)
        self._canvas.text_right(_NUMBER, self._y, str(one["number"]), REGULAR, _SIZE, GRAY)
        self._text(_UID, one["sop_instance_uid"], room=_HERE - _UID - 6)
        safe = f"{self._time(one['received_at'])} · {self._texts['durable']} {self._time(one['durable_at'])}"
        self._text(_HERE, safe, room=_WHERE - _HERE - 6)
        self._y -= _LINE
        self._text(_UID, one["sha256"], room=_HERE - _UID - 6, colour=GRAY)
        self._text(_HERE, self._here(one), room=_WHERE - _HERE - 6, colour=_colour(one["state"]))
        self._y = top
        for text, colour in where:
            self._room(_LINE)
            self._text(_WHERE, text, colour=colour)
            self._y -= _LINE
        if len(self._pages) == page:
            self._y = min(self._y, top - 2 * _LINE)
        self._y -= _GAP

    def _here(self, one: Mapping[str, Any]) -> str:
        state = one["state"]
        if state == "kept":
            return self._texts["kept"]
        at = one["removed_at"] if state == "removed" else one["missing_since"]
        return f"{self._texts[state]} {self._time(at) if at else self._texts['unknown_time']}"

    def _where(self, one: Mapping[str, Any]) -> Iterator[tuple[str, Colour]]:
        if one["is_undecided"]:
            yield self._texts["undecided"], BLACK
        elif not one["destinations"]:
            yield self._texts["nowhere"], _colour("nowhere")
        for each in one["destinations"]:
            parts = [each["destination"], self._texts[each["state"]], each["status"]]
            parts.append(self._time(each["committed_at"] or each["sent_at"] or each["answered_at"]))
            yield " · ".join(part for part in parts if part), _colour(each["state"])
            if each["copy"]:
                for name in ("sop_instance_uid", "transfer_syntax_uid", "sha256"):
                    if each["copy"][name]:
                        yield f"    {self._texts['copy_' + name]} {each['copy'][name]}", GRAY

    def _draw_quarantined(self, one: Mapping[str, Any]) -> None:
        self._room(2 * _LINE + _GAP)
        self._text(_UID, one["sop_instance_uid"] or one["id"], room=_HERE - _UID - 6)
        state = "open" if one["is_open"] else "decided"
        parts = (one["reason"], self._texts[state], one["answered"], self._time(one["received_at"]))
        self._text(_HERE, " · ".join(part for part in parts if part), colour=_colour("nowhere"))
        self._y -= _LINE
        self._text(_UID, one["sha256"] or "", colour=GRAY, room=_HERE - _UID - 6)
        self._y -= _LINE + _GAP

    def _draw_foot(self, page: Canvas, number: int) -> None:
        uid = self._found["study"]["study_instance_uid"]
        page.text(_LEFT, 20, f"{self._texts['title']} · {uid}", REGULAR, 7, GRAY)
        page.text_right(_RIGHT, 20, self._texts["page"].format(number, len(self._pages)), REGULAR, 7, GRAY)

    def _time(self, text: str | None) -> str:
        if text is None:
            return ""
        return datetime.fromisoformat(text).astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")


def _colour(state: str) -> Colour:
    if state in _BAD:
        return _COLOURS["ATTENTION"]
    return _COLOURS["DELIVERED"] if state in _GOOD else BLACK
