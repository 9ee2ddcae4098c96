"""When is a file in the watched folder whole? By a clock of the test's own: nothing waits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hazards.archives import GOOD, archive
from watcher import folder as folder_module
from watcher.files import Identity
from watcher.folder import Folder, Odd, Ready
from watcher.writers import Writers

STILL_S, GIVE_UP_S = 2.0, 3600.0
WHOLE = archive(GOOD)


class Looked:
    """A folder, and a clock that moves when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1000.0
        self.folder = Folder(path, still_s=STILL_S, give_up_s=GIVE_UP_S, clock=lambda: self.now)

    def after(self, seconds: float) -> tuple[list[str], list[str]]:
        """Names of what is ready, and what is said, that much later."""
        self.now += seconds
        found = list(self.folder.look())
        ready = sorted(one.path.name for one in found if isinstance(one, Ready))
        return ready, [f"{one.path.name}: {one.why}" for one in found if isinstance(one, Odd)]

    def put(self, name: str, data: bytes = WHOLE) -> Path:
        path = self.path / name
        path.write_bytes(data)
        return path


@pytest.fixture
def looked(tmp_path: Path) -> Looked:
    (tmp_path / "in").mkdir()
    return Looked(tmp_path / "in")


def test_a_zip_that_was_there_is_ready_when_it_has_stood_still(looked: Looked) -> None:
    looked.put("exame.ZIP")
    assert looked.after(0) == ([], [])
    assert looked.folder.next_look_s() == STILL_S
    assert looked.after(1.9) == ([], [])
    assert looked.after(0.2) == (["exame.ZIP"], [])


def test_fs_01_a_file_that_grows_is_not_taken(looked: Looked) -> None:
    path = looked.put("a.zip", WHOLE[:50])
    for end in range(60, len(WHOLE), len(WHOLE) // 20):
        assert looked.after(1.5) == ([], [])
        path.write_bytes(WHOLE[:end])
    path.write_bytes(WHOLE)
    assert looked.after(1.5) == ([], [])
    assert looked.after(2.0) == (["a.zip"], [])


def test_fs_01_a_copy_that_stalls_is_not_taken_however_long_it_takes(looked: Looked) -> None:
    """Every cut near the end, and many before, lack the end record, or what that says."""
    for end in [*range(0, len(WHOLE) - 300, 97), *range(len(WHOLE) - 300, len(WHOLE))]:
        (looked.path / "a.zip").unlink(missing_ok=True)
        looked.after(0)
        looked.put("a.zip", WHOLE[:end])
        assert looked.after(0)[0] == []
        assert looked.after(GIVE_UP_S - 1)[0] == []


def test_fs_01_room_reserved_before_the_copy_is_no_archive(looked: Looked) -> None:
    looked.put("a.zip", WHOLE[:100] + bytes(len(WHOLE) - 100))
    looked.after(0)
    ready, said = looked.after(GIVE_UP_S - 1)
    assert ready == []
    assert said == ["a.zip: not a whole ZIP yet (ZIP_TRUNCATED): waiting for the rest of it"]
    assert looked.after(0) == ([], [])


def test_fs_01_a_whole_file_that_somebody_writes_to_is_not_taken(looked: Looked) -> None:
    path = looked.put("a.zip")
    with path.open("ab"):
        looked.after(0)
        assert looked.after(GIVE_UP_S) == ([], [])
    assert looked.after(1) == ([], [])
    assert looked.after(2) == (["a.zip"], [])


def test_fs_02_a_rename_into_place_counts_from_when_it_is_seen(looked: Looked) -> None:
    partial = looked.put("a.zip.part")
    os.utime(partial, (0, 0))
    assert looked.after(100) == ([], [])
    partial.rename(looked.path / "a.zip")
    assert looked.after(0) == ([], [])
    assert looked.after(2) == (["a.zip"], [])


def test_i3_what_never_becomes_a_zip_is_taken_after_a_long_time_and_said_before(looked: Looked) -> None:
    looked.put("page.zip", b"<html>404</html>")
    looked.after(0)
    (said,) = looked.after(3)[1]
    assert said.startswith("page.zip: not a whole ZIP yet")
    assert looked.after(GIVE_UP_S) == (["page.zip"], [])


def test_fs_03_what_is_no_regular_file_is_said_once_and_never_opened(looked: Looked) -> None:
    outside = looked.path.parent / "outside.zip"
    outside.write_bytes(WHOLE)
    (looked.path / "link.zip").symlink_to(outside)
    (looked.path / "dangling.zip").symlink_to("nowhere")
    os.mkfifo(looked.path / "fifo.zip")
    os.mknod(looked.path / "socket.zip", 0o140600)
    (looked.path / "folder.zip").mkdir()
    ready, said = looked.after(0)
    assert ready == []
    assert sorted(said) == [
        "dangling.zip: passed over: a link",
        "fifo.zip: passed over: not a regular file",
        "folder.zip: passed over: not a regular file",
        "link.zip: passed over: a link",
        "socket.zip: passed over: not a regular file",
    ]
    assert looked.after(GIVE_UP_S) == ([], [])


def test_fs_03_an_unreadable_file_is_said_once_and_taken_when_it_can_be_read(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a patched call: whoever runs the tests may be root, who reads everything."""

    def shut(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    looked.put("a.zip")
    looked.after(0)
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "_refusal", shut)
        assert looked.after(3) == ([], ["a.zip: cannot be read: Permission denied"])
        assert looked.after(3) == ([], [])
    assert looked.after(3) == (["a.zip"], [])


def test_fs_03_any_name_is_a_name(looked: Looked) -> None:
    names = ["a\nb.zip", "ção.zip", "-rf.zip", "a b.zip", "\x1b[2J.zip"]
    for name in names:
        looked.put(name)
    Path(os.fsdecode(os.fsencode(looked.path) + b"/\xff.zip")).write_bytes(WHOLE)
    looked.after(0)
    assert looked.after(3)[0] == sorted([*names, "\udcff.zip"])


def test_hidden_files_and_others_are_left_alone(looked: Looked) -> None:
    for name in (".a.zip", "._a.zip", "a.zip.crdownload", "notes.txt", "zip"):
        looked.put(name)
    looked.after(0)
    assert looked.after(GIVE_UP_S) == ([], [])


def test_fs_04_each_of_very_many_files_is_opened_once_and_not_at_every_look(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def refusal(path: Path) -> str:
        opened.append(path)
        return "NOT_A_ZIP"

    monkeypatch.setattr(folder_module, "_refusal", refusal)
    for number in range(3000):
        os.close(os.open(looked.path / f"{number}.zip", os.O_CREAT | os.O_WRONLY))
    looked.after(0)
    for _ in range(3):
        assert looked.after(3)[0] == []
    assert len(opened) == 3000


def test_fs_05_another_file_in_its_place_begins_anew(looked: Looked) -> None:
    path = looked.put("a.zip")
    looked.after(0)
    other = looked.put("other.part")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert looked.after(3) == ([], [])
    assert looked.after(3) == (["a.zip"], [])


def test_fs_07_a_folder_that_is_gone_raises_and_is_looked_at_again_when_it_is_back(looked: Looked) -> None:
    looked.path.rename(looked.path.parent / "gone")
    with pytest.raises(FileNotFoundError):
        looked.after(0)
    (looked.path.parent / "gone").rename(looked.path)
    looked.put("a.zip")
    looked.after(0)
    assert looked.after(3) == (["a.zip"], [])


@pytest.mark.parametrize("year", [1971, 2099])
def test_fs_08_the_clock_of_the_day_does_not_matter(looked: Looked, year: int) -> None:
    path = looked.put("a.zip")
    seconds = (year - 1970) * 365 * 86400
    os.utime(path, (seconds, seconds))
    assert looked.after(0) == ([], [])
    assert looked.after(2) == (["a.zip"], [])


def test_writers_are_found_among_the_processes_where_the_kernel_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.writers._lease", lambda _: None)
    path = tmp_path / "a.zip"
    path.write_bytes(WHOLE)
    identity = Identity.of(path.stat())
    with path.open("rb"):
        assert not Writers([identity]).has(path, identity)
    with path.open("r+b"):
        assert Writers([identity]).has(path, identity)
