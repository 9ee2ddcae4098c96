"""A disk that fills: alarm, then no associations, then no instances, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.intake import DiskLimits
from router.watermarks import Free, Watermarks, free_on

LIMITS = DiskLimits(associations_bytes=1000, instances_bytes=100, warning_bytes=10_000, files=50)


class Disk:
    """As full as a test says."""

    def __init__(self) -> None:
        self.free = Free(1 << 40, 1 << 20)

    def __call__(self, folder: Path) -> Free:
        return self.free


def watermarks(disk: Disk) -> Watermarks:
    return Watermarks(Path("/"), LIMITS, free=disk)


@pytest.mark.parametrize(
    ("size_bytes", "associations", "instances"),
    [(1 << 40, False, False), (1000, False, False), (999, True, False), (100, True, False), (99, True, True)],
)
def test_associations_are_refused_long_before_instances(
    size_bytes: int, associations: bool, instances: bool
) -> None:
    disk = Disk()
    disk.free = Free(size_bytes, None)
    marks = watermarks(disk)
    assert (marks.refuses_associations(), marks.refuses_instances()) == (associations, instances)


def test_a_disk_at_the_mark_does_not_open_and_close() -> None:
    disk = Disk()
    marks = watermarks(disk)
    answers = []
    for size_bytes in (1001, 999, 1001, 1249, 1250, 1001):
        disk.free = Free(size_bytes, None)
        answers.append(marks.refuses_associations())
    assert answers == [False, True, True, True, False, False]


def test_room_without_files_is_no_room() -> None:
    disk = Disk()
    disk.free = Free(1 << 40, 49)
    assert watermarks(disk).refuses_associations()


def test_a_disk_that_cannot_be_asked_has_no_room(tmp_path: Path) -> None:
    """FS-07."""
    marks = Watermarks(tmp_path / "gone", LIMITS)
    assert marks.refuses_associations()
    assert marks.refuses_instances()
    assert free_on(tmp_path).size_bytes > 0


def test_a_low_disk_is_an_alarm_once(caplog: pytest.LogCaptureFixture) -> None:
    """FI-15: it is said long before anything is refused."""
    caplog.set_level("INFO")
    disk = Disk()
    marks = watermarks(disk)
    for size_bytes in (10_000, 9_999, 9_000, 12_000, 12_500, 12_000):
        disk.free = Free(size_bytes, None)
        marks.watch()
        assert not marks.refuses_associations()
    assert [record.message for record in caplog.records] == ["disk low", "disk no longer low"]
