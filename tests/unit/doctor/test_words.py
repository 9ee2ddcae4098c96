"""Every phrase in both languages, with the same values; and every phrase that is used is there."""

from __future__ import annotations

import ast
import re
from string import Formatter

import pytest

from doctor import dicom
from doctor.phrases import PHRASES
from doctor.words import LANGUAGES, Phrase, say
from ponte_net import negotiation
from tests.corpus import ROOT


@pytest.mark.parametrize("key", PHRASES)
def test_both_languages_say_the_same_things(key: str) -> None:
    values = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in PHRASES[key]]
    assert values[0] == values[1]
    assert all(text.strip() == text and text for text in PHRASES[key])


def test_every_key_that_is_written_out_has_a_phrase() -> None:
    written = set()
    for path in sorted((ROOT / "edge/doctor").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") in ("Phrase", "Check")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                first = str(node.args[0].value)
                written.add(first if node.func.id == "Phrase" else f"step.{first}")  # type: ignore[attr-defined]
    assert len(written) > 60
    assert written <= PHRASES.keys()


def test_every_reason_has_advice_and_every_advice_a_reason() -> None:
    for key in PHRASES:
        if key.endswith("_advice") and key not in OF_A_STATE:
            assert key.removesuffix("_advice") in PHRASES, key
    for why in {*dicom._WORDS.values(), "silent", "not_dicom", "speaks_tls", "tls", "local_port", "closed"}:
        assert f"association.{why}" in PHRASES
        assert f"association.{why}_advice" in PHRASES


OF_A_STATE = {
    "tcp.slow_advice", "tls.soon_advice", "tls.plain_advice", "association.none_advice",
    "association.commitment_advice",
    "association.seen_advice", "store.full_advice", "store.mismatch_advice",
    "store.cannot_understand_advice", "store.class_advice", "store.context_advice",
    "store.not_authorised_advice", "store.duplicate_advice", "store.other_advice",
    "web.not_orthanc_advice", "disk.full_advice", "disk.low_advice", "fsync.slow_advice", "names.own_advice",
}  # fmt: skip
"""Advice for something that was found and may be good or bad, or for a status."""


def test_all_words_of_a_rejection_are_known() -> None:
    assert set(negotiation._REASONS.values()) == dicom._WORDS.keys()
    for words in (*negotiation._RESULTS.values(), "with a syntax that was not proposed"):
        assert f"context.{words.replace(' ', '_')}" in PHRASES


def test_values_from_outside_are_made_printable_and_short() -> None:
    text = Phrase("dns.unknown", {"host": "x\x1b[2J\n" + "y" * 900}).text("en")
    assert not re.search(r"[\x00-\x1f]", text)
    assert len(text) < 300


def test_a_value_that_looks_like_a_template_is_not_read_as_one() -> None:
    for language in LANGUAGES:
        assert "{0.__class__}" in Phrase("dns.unknown", {"host": "{0.__class__}"}).text(language)
    assert say("no key", "en") == "no key"
