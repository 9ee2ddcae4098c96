"""The order in which characters of one line are drawn: the part of Unicode's UAX #9 that a line needs.

Explicit embeddings, overrides and isolates (X1 to X8) are not followed: a name has no business with them, and
an override could show a name backwards.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby

_STRONG = frozenset(["L", "R", "AL"])
_IGNORED = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"])
_NEUTRAL = frozenset(["B", "S", "WS", "ON"]) | _IGNORED
_NUMBERS = frozenset(["EN", "AN"])
_BRACKETS = dict(zip("([{（［｛「『【〈《", ")]}）］｝」』】〉》", strict=True))
_DEEPEST = 63  # BD16: as many brackets may be open


def levels(text: str) -> list[int]:
    """The embedding level of every character: an even one is drawn to the right, an odd one to the left."""
    classes = [unicodedata.bidirectional(character) or "L" for character in text]
    base = _base_level(classes)
    side = "R" if base else "L"
    resolved = _resolve_weak(list(classes), side)
    _resolve_brackets(text, resolved, side)
    resolved = _resolve_neutral(resolved, side)
    found = [_level(kind, base) for kind in resolved]
    for index in range(len(text) - 1, -1, -1):  # L1: what trails the line belongs to its direction
        if classes[index] not in ("WS", "S", "B") and classes[index] not in _IGNORED:
            break
        found[index] = base
    return found


def visual_runs(text: str) -> list[tuple[int, int, int]]:
    """Runs of one level as (start, end, level) of `text`, from left to right (L2)."""
    runs, start = list[tuple[int, int, int]](), 0
    for level, group in groupby(levels(text)):
        end = start + len(list(group))
        runs.append((start, end, level))
        start = end
    highest = max((level for _, _, level in runs), default=0)
    for threshold in range(highest, 0, -1):
        runs = _reverse_from(runs, threshold)
    return runs


def _reverse_from(runs: list[tuple[int, int, int]], threshold: int) -> list[tuple[int, int, int]]:
    """Every stretch of runs at `threshold` or above, turned around."""
    turned = list[tuple[int, int, int]]()
    for above, group in groupby(runs, key=lambda run: run[2] >= threshold):
        stretch = list(group)
        turned += reversed(stretch) if above else stretch
    return turned


def _base_level(classes: list[str]) -> int:
    """P2, P3: the first strong character decides."""
    first = next((kind for kind in classes if kind in _STRONG), "L")
    return 0 if first == "L" else 1


def _resolve_weak(classes: list[str], side: str) -> list[str]:
    """W1 to W7."""
    before, strong = side, side
    for index, kind in enumerate(classes):
        if kind == "NSM":
            classes[index] = before
        elif kind == "EN" and strong == "AL":
            classes[index] = "AN"
        strong = kind if kind in _STRONG else strong
        before = classes[index]
    classes = ["R" if kind == "AL" else kind for kind in classes]
    _join_separators(classes)
    strong = side
    for index, kind in enumerate(classes):
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            classes[index] = "L"
    return classes


def _join_separators(classes: list[str]) -> None:
    """W4 to W6: a separator between two numbers and signs beside one belong to them."""
    for index in range(1, len(classes) - 1):
        left, right = classes[index - 1], classes[index + 1]
        if left == right and (
            (classes[index] == "CS" and left in _NUMBERS) or (classes[index] == "ES" and left == "EN")
        ):
            classes[index] = left
    start = 0
    for kind, group in groupby(list(classes)):
        end = start + len(list(group))
        beside = classes[start - 1 : start] + classes[end : end + 1]
        if kind == "ET":
            classes[start:end] = ["EN" if "EN" in beside else "ON"] * (end - start)
        start = end
    for index, kind in enumerate(classes):
        if kind in ("ES", "CS"):
            classes[index] = "ON"


def _resolve_brackets(text: str, classes: list[str], side: str) -> None:
    """N0: both brackets of a pair go the way of what they hold and where they stand."""
    for opening, closing in sorted(_pairs(text, classes)):
        within = {_direction(kind) for kind in classes[opening + 1 : closing]} & {"L", "R"}
        if side in within:
            classes[opening] = classes[closing] = side
        elif within:
            before = (_direction(classes[index]) for index in range(opening - 1, -1, -1))
            classes[opening] = classes[closing] = next((d for d in before if d in ("L", "R")), side)


def _pairs(text: str, classes: list[str]) -> list[tuple[int, int]]:
    """BD16: brackets that belong together."""
    pairs, waiting = list[tuple[int, int]](), list[tuple[str, int]]()
    for index, character in enumerate(text):
        if classes[index] != "ON":
            continue
        if character in _BRACKETS:
            if len(waiting) == _DEEPEST:
                break
            waiting.append((_BRACKETS[character], index))
        elif any(expected == character for expected, _ in waiting):
            while waiting[-1][0] != character:
                waiting.pop()
            pairs.append((waiting.pop()[1], index))
    return pairs


def _resolve_neutral(classes: list[str], side: str) -> list[str]:
    """N1, N2: what lies between two of one direction has it too, all else has the line's."""
    start = 0
    for neutral, group in groupby(list(classes), key=lambda kind: kind in _NEUTRAL):
        end = start + len(list(group))
        if neutral:
            left = _direction(classes[start - 1]) if start else side
            right = _direction(classes[end]) if end < len(classes) else side
            classes[start:end] = [left if left == right else side] * (end - start)
        start = end
    return classes


def _direction(kind: str) -> str:
    return "R" if kind in _NUMBERS else kind


def _level(kind: str, base: int) -> int:
    """I1, I2."""
    if base == 0:
        return {"L": 0, "R": 1}.get(kind, 2)
    return 1 if kind == "R" else 2
