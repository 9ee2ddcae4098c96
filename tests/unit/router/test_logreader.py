"""The log is read from its end, followed over its rotation, and shows nothing but known keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router.log import KEYS
from router.logreader import Filter, Follower, files, latest, read_line, tail


def line(**fields: Any) -> str:
    known = {"time": "2026-11-20T10:00:00.000Z", "level": "INFO", "message": "association ended"}
    return json.dumps({**known, **fields}) + "\n"


def test_known_keys_alone_are_taken_and_long_values_are_cut() -> None:
    found = read_line(line(association="a", patient="CANARY", reason="x" * 900).encode())
    assert found is not None
    assert set(found.fields) == {"association", "reason"}
    assert set(found.fields) <= set(KEYS)
    assert len(found.fields["reason"]) == 200
    assert found.at == 1795168800.0


@pytest.mark.parametrize(
    "text",
    [b"", b"Traceback", b"[1]", b"{}", b'{"time": 1, "level": "x", "message": "y"}', b"[" * 5000, b"\xff"],
)
def test_what_is_no_line_of_ours_is_none(text: bytes) -> None:
    assert read_line(text) is None


def test_the_last_lines_that_fit_come_over_the_files_before(tmp_path: Path) -> None:
    log = tmp_path / "router.log"
    log.with_name("router.log.1").write_text(line(number=1) + line(number=2, level="ERROR"))
    log.write_text(line(number=3) + line(number=4, level="ERROR"))
    assert files(log) == [log, log.with_name("router.log.1")]
    found = latest(log, Filter(level="ERROR"), 10)
    assert [one.fields["number"] for one in found] == ["2", "4"]
    assert [one.fields["number"] for one in latest(log, Filter(), 3)] == ["2", "3", "4"]
    assert latest(log, Filter(text="NUMBER=3"), 3)[0].fields["number"] == "3"
    assert latest(log, Filter(part="forwarder"), 3) == []
    assert len(latest(log, Filter(text="association ended number"), 9)) == 4
    assert len(latest(log, Filter(text="ENDED"), 9)) == 4
    assert latest(log, Filter(association="x"), 9) == []
    assert latest(tmp_path / "none", Filter(), 3) == []


def test_not_more_is_read_than_is_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "router.log"
    log.write_text(line() * 1000)
    lines = tail(log, 1000)
    assert sum(map(len, lines)) <= 1000
    assert all(read_line(one) for one in lines)
    assert len(latest(log, Filter(), 5000, most_bytes=1000)) == len(lines)


def test_a_follower_sees_new_lines_alone_and_goes_on_with_the_file_that_follows(tmp_path: Path) -> None:
    log = tmp_path / "router.log"
    log.write_text(line(number=0))
    follower = Follower(log)
    assert follower.lines() == []
    with log.open("a") as stream:
        stream.write(line(number=1) + line(number=2)[:20])
        stream.flush()
        assert [one.fields["number"] for one in follower.lines()] == ["1"]
        stream.write(line(number=2)[20:])
    log.rename(log.with_name("router.log.1"))
    log.write_text(line(number=3))
    numbers = [one.fields["number"] for _ in range(4) for one in follower.lines()]
    assert numbers == ["2", "3"]
    log.write_text("")
    follower.lines()
    log.write_text(line(number=4))
    assert [one.fields["number"] for _ in range(3) for one in follower.lines()] == ["4"]
    follower.close()


def test_a_file_that_comes_later_is_followed_from_its_beginning(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "router.log")
    assert follower.lines() == []
    (tmp_path / "router.log").write_text(line(number=1))
    assert len(follower.lines()) == 1
    follower.close()


def test_a_line_that_never_ends_is_dropped(tmp_path: Path) -> None:
    log = tmp_path / "router.log"
    log.write_text("")
    follower = Follower(log)
    log.write_text("x" * 100_000)
    assert follower.lines() == []
    assert len(follower._rest) == 0
    follower.close()
