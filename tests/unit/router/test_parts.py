"""Parts are started in order, ended in reverse, and made anew by hand."""

from __future__ import annotations

import pytest

from ponte.errors import InvalidRequest, TransientError
from router.parts import Parts, Renewed


class Made:
    def __init__(self, name: str, said: list[str], *, ends: bool = True) -> None:
        self.name = name
        self.said = said
        self.ends = ends
        self.is_alive = False

    def start(self) -> None:
        self.said.append(f"{self.name} start")
        self.is_alive = True

    def stop(self, grace_s: float) -> bool:
        self.said.append(f"{self.name} stop {grace_s:g}")
        self.is_alive = not self.ends
        return self.ends


def grace_s(name: str) -> float:
    return {"one": 1.0, "two": 2.0}[name]


def test_they_are_started_in_order_and_ended_in_reverse() -> None:
    said: list[str] = []
    parts = Parts([Renewed("one", lambda: Made("one", said)), Renewed("two", lambda: Made("two", said))])
    assert parts.states() == {"one": "stopped", "two": "stopped"}
    parts.start()
    assert parts.states() == {"one": "running", "two": "running"}
    assert parts.stop(grace_s)
    assert said == ["one start", "two start", "two stop 2", "one stop 1"]
    assert parts.states() == {"one": "stopped", "two": "stopped"}


def test_what_cannot_be_made_leaves_the_others_to_be_ended() -> None:
    said: list[str] = []

    def make() -> Made:
        raise InvalidRequest("no port")

    parts = Parts([Renewed("one", lambda: Made("one", said)), Renewed("two", make)])
    with pytest.raises(InvalidRequest):
        parts.start()
    assert parts.states() == {"one": "running", "two": "stopped"}
    assert parts.stop(grace_s)
    assert said == ["one start", "one stop 1"]


def test_one_that_ended_by_itself_has_failed_and_is_made_anew_by_hand() -> None:
    made: list[Made] = []

    def make() -> Made:
        made.append(Made("one", []))
        return made[-1]

    parts = Parts([Renewed("one", make)])
    parts.start()
    made[0].is_alive = False
    assert parts.states() == {"one": "failed"}
    parts.restart("one", 3.0)
    assert len(made) == 2
    assert made[0].said == ["one start", "one stop 3"]
    assert parts.states() == {"one": "running"}


def test_one_that_does_not_end_is_not_begun_beside_itself() -> None:
    made = Made("one", [], ends=False)
    parts = Parts([Renewed("one", lambda: made)])
    parts.start()
    with pytest.raises(TransientError, match="does not end yet"):
        parts.restart("one", 3.0)
    assert parts.states() == {"one": "stopped"}
    made.ends = True
    parts.restart("one", 3.0)
    assert parts.states() == {"one": "running"}


def test_one_that_does_not_begin_again_has_failed() -> None:
    made: list[Made] = []

    def make() -> Made:
        if made:
            raise InvalidRequest("a password file is gone")
        made.append(Made("one", []))
        return made[0]

    parts = Parts([Renewed("one", make)])
    parts.start()
    with pytest.raises(InvalidRequest):
        parts.restart("one", 3.0)
    assert parts.states() == {"one": "failed"}


def test_a_part_that_is_none_is_said() -> None:
    parts = Parts([Renewed("one", lambda: Made("one", []))])
    with pytest.raises(InvalidRequest, match="expected one"):
        parts.restart("two", 3.0)
    with pytest.raises(TransientError, match="starting or ending"):
        parts.restart("one", 3.0)
