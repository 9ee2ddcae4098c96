"""A report as a page to read: one HTML file, nothing fetched, nothing that acts, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

from ponte.ingesting.words import NOTES, REASONS, WORDS, Language

__all__ = ["Language", "page"]

MOST_PROBLEMS: Final = 2_000
MOST_ROWS: Final = 20_000
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_SHORT = 12  # of a digest: enough to find it in the JSON
_STYLE = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5b6875; --line: #dfe4ea; --paper: #fff;
  --done: #1f7a4d; --partial: #9a6200; --quarantined: #a8323e; --interrupted: #9a6200 }
* { box-sizing: border-box }
body { margin: 0; background: #f4f6f8; color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 72rem; margin: 0 auto; padding: 2rem 1.5rem 4rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.25rem 0 .75rem }
header { background: var(--paper); border: 1px solid var(--line); border-left: 6px solid var(--state);
  border-radius: 8px; padding: 1.25rem 1.5rem }
.state { color: var(--state); font-weight: 650 } .soft { color: var(--soft) }
.done { --state: var(--done) } .partial { --state: var(--partial) }
.quarantined { --state: var(--quarantined) } .interrupted { --state: var(--interrupted) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 1rem 0 0 }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.sums { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem;
  margin-top: 1rem }
.sums div { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  padding: .75rem 1rem }
.sums b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums }
.sums span { color: var(--soft); font-size: .85rem }
table { width: 100%; border-collapse: collapse; background: var(--paper); border: 1px solid var(--line);
  table-layout: fixed; font-size: .875rem }
th { text-align: left; color: var(--soft); font-weight: 600; background: #fafbfc }
th, td { padding: .4rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere }
.n { width: 4.5rem; text-align: right; font-variant-numeric: tabular-nums }
.v { width: 7.5rem } .d { width: 9.5rem }
.s { width: 6rem; text-align: right; white-space: nowrap }
.h { width: 8.5rem; font-family: ui-monospace, monospace }
.code { font: .8rem ui-monospace, "DejaVu Sans Mono", monospace; color: var(--soft) }
.tag { font-weight: 600 } .tag.quarantined { color: var(--quarantined) } .tag.accepted { color: var(--done) }
.tag.duplicate, .tag.skipped { color: var(--soft) }
details > summary { cursor: pointer; font-weight: 650; font-size: 1.1rem; margin: 2.25rem 0 .75rem }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem }
@media print { body { background: #fff } main { max-width: none; padding: 0 } }
"""


def page(report: Mapping[str, Any], language: Language) -> str:
    """The page of what `Report.as_json` gives: what needs attention first, then every entry."""
    return "".join(_Page(report, language).parts())


class _Page:
    def __init__(self, report: Mapping[str, Any], language: Language) -> None:
        self._report = report
        self._language = language
        self._words = WORDS[language]

    def parts(self) -> Iterator[str]:
        title = escape(self._words["title"])
        yield f'<!doctype html><html lang="{self._language}"><head><meta charset="utf-8">'
        yield '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        yield f"<title>{title}</title><style>{_STYLE}</style></head><body><main>"
        yield from self._head(title)
        yield from self._sums()
        yield from self._problems()
        totals = self._report["totals"]
        yield from self._codes("by_reason", totals["reasons"], REASONS[self._language])
        yield from self._codes("by_note", totals["notes"], NOTES[self._language])
        yield from self._all()
        yield f"<footer>{escape(self._words['private'])}</footer></main></body></html>\n"

    def _head(self, title: str) -> Iterator[str]:
        report, words, totals = self._report, self._words, self._report["totals"]
        state = "interrupted" if report["error"] else report["verdict"]
        yield f'<header class="{state}"><h1>{title}</h1>'
        yield f'<p><span class="state">{words[state]}.</span> {words[state + "_text"]}</p>'
        if report["dry_run"]:
            yield f"<p><strong>{words['rehearsal']}</strong></p>"
        said = report["error"] or ({"code": report["reason"]} if report["reason"] else None)
        if said:
            yield f"<p>{self._reason(said['code'], report['detail'])}</p>"
        facts = {
            "archive": report["path"],
            "arrived": self._time(report["arrived_at"]),
            "last": self._time(report["last_delivery_at"]),
            "latency": self._duration(totals["latency_s"]),
            "bytes": self._size(totals["bytes"]),
            "delivered_bytes": self._size(totals["delivered_bytes"]),
            "sha256": report["sha256"],
            "kept_as": report["quarantine_id"],
        }
        rows = (f"<dt>{words[name]}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
        yield f"<dl>{''.join(rows)}</dl></header>"

    def _sums(self) -> Iterator[str]:
        totals, words = self._report["totals"], self._words
        yield '<section class="sums">'
        for name in (
            "entries",
            "accepted",
            "duplicate",
            "quarantined",
            "skipped",
            "delivered",
            "not_delivered",
            *(["kept"] if "kept" in totals else []),
        ):
            yield f"<div><b>{self._number(totals[name])}</b><span>{words[name]}</span></div>"
        yield "</section>"

    def _codes(self, title: str, counts: Mapping[str, int], sentences: Mapping[str, str]) -> Iterator[str]:
        if not counts:
            return
        words = self._words
        yield f"<h2>{words[title]}</h2><table>"
        yield f'<tr><th>{words["what"]}</th><th class="n">{words["count"]}</th></tr>'
        for code, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            yield f"<tr><td>{_coded(code, sentences)}</td>"
            yield f'<td class="n">{self._number(count)}</td></tr>'
        yield "</table>"

    def _problems(self) -> Iterator[str]:
        problems = [row for row in self._report["entries"] if _needs_attention(row)]
        yield f"<h2>{self._words['problems']}</h2>"
        if problems:
            yield from self._table(problems, MOST_PROBLEMS)
        elif not self._report["reason"] and not self._report["error"]:
            yield f'<p class="soft">{self._words["no_problems"]}</p>'
        else:
            yield f"<p>{self._reason(self._report['reason'] or self._report['error']['code'], '')}</p>"

    def _all(self) -> Iterator[str]:
        rows = self._report["entries"]
        if rows:
            yield f"<details><summary>{self._words['all']} ({self._number(len(rows))})</summary>"
            yield from self._table(rows, MOST_ROWS)
            yield "</details>"

    def _table(self, rows: Sequence[Mapping[str, Any]], most: int) -> Iterator[str]:
        words = self._words
        heads = (("n", "number"), ("", "name"), ("v", "verdict"), ("", "reason"), ("d", "destination"))
        tail = (("s", "size"), ("h", "uid"))
        yield "<table><thead><tr>"
        yield "".join(f'<th class="{css}">{words[name]}</th>' for css, name in (*heads, *tail))
        yield "</tr></thead><tbody>"
        yield from self._rows(rows[:most])
        yield "</tbody></table>"
        if len(rows) > most:
            said = words["capped"].format(shown=self._number(most), total=self._number(len(rows)))
            yield f'<p class="soft">{said}</p>'

    def _rows(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        words = self._words
        for row in rows:
            verdict, answer, uid = row["verdict"], row["destination"], row["sop_instance_uid_sha256"] or ""
            notes = "".join(f'<div class="code">{escape(note)}</div>' for note in row["notes"])
            own = "" if row["detail"] == answer["detail"] else row["detail"]
            said = self._reason(row["reason"], own) if row["reason"] else escape(own)
            detail = escape(answer["detail"])
            yield (
                f'<tr><td class="n">{row["ordinal"]}</td><td>{escape(row["name"])}</td>'
                f'<td class="v"><span class="tag {verdict}">{words["word_" + verdict]}</span></td>'
                f"<td>{said}{notes}</td>"
                f'<td class="d">{words[answer["status"]]}<div class="soft">{detail}</div></td>'
                f'<td class="s">{self._size(row["size_bytes"])}</td>'
                f'<td class="h" title="{escape(uid)}">{escape(uid[:_SHORT])}</td></tr>'
            )

    def _reason(self, code: str, detail: str) -> str:
        """The sentence of a code; the detail, which is English, where it says more."""
        said = _coded(code, REASONS[self._language])
        return f'{said}<div class="soft">{escape(detail)}</div>' if detail else said

    def _number(self, value: int) -> str:
        return self._localised(f"{value:,}")

    def _size(self, size_bytes: int) -> str:
        size, unit = float(size_bytes), 0
        while size >= 1024 and unit < len(_UNITS) - 1:
            size, unit = size / 1024, unit + 1
        return f"{self._localised(f'{size:.1f}' if unit else f'{size:.0f}')} {_UNITS[unit]}"

    def _duration(self, seconds: float | None) -> str:
        return "" if seconds is None else f"{self._localised(f'{seconds:,.1f}')} s"

    def _time(self, text: str | None) -> str:
        if not text:
            return ""
        form = "%d/%m/%Y %H:%M:%S UTC" if self._language == "pt-BR" else "%Y-%m-%d %H:%M:%S UTC"
        return datetime.fromisoformat(text).strftime(form)

    def _localised(self, number: str) -> str:
        """Portuguese has points and commas the other way round."""
        return number.translate(str.maketrans(",.", ".,")) if self._language == "pt-BR" else number


def _needs_attention(row: Mapping[str, Any]) -> bool:
    return row["verdict"] == "quarantined" or row["destination"]["status"] in ("refused", "failed")


def _coded(code: str, sentences: Mapping[str, str]) -> str:
    """A sentence and its code; a code that has none stands alone."""
    sentence = sentences.get(code, "")
    return f'{escape(sentence)} <span class="code">{escape(code)}</span>'.strip()
