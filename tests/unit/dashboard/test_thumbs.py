"""Pictures of what came from outside: drawn apart, under limits, its owner's alone, gone with the study."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import pytest
from PIL import Image

from dashboard.thumbs import SMALL, Artist, Thumbs
from ponte.errors import CannotDecode, LimitExceeded
from router.views import StudyView
from tests.factories import encode, make_ct, make_report

UID = "1.2.3"


@pytest.fixture(scope="module")
def artist() -> Iterator[Artist]:
    found = Artist()
    yield found
    found.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".spool" / "kept" / "a").mkdir(parents=True)
    return tmp_path


def put(root: Path, content: bytes) -> str:
    (root / ".spool" / "kept" / "a" / "1.dcm").write_bytes(content)
    return "a/1.dcm"


class Rows:
    """Stands for the views: what is kept of the one study."""

    def __init__(self, kept: int | None) -> None:
        self.kept = kept

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def study(self, uid: str) -> StudyView | None:
        return cast("StudyView", self) if self.kept is not None and uid == UID else None


def test_a_picture_is_small_kept_and_its_owners_alone(root: Path, artist: Artist) -> None:
    thumbs = Thumbs(root, artist)
    place = put(root, encode(make_ct(1, size=512)))
    drawn = thumbs.picture(UID, 1, place, SMALL)
    (root / ".spool" / "kept" / place).unlink()
    assert thumbs.picture(UID, 1, place, SMALL) == drawn
    kept = [path for path in (root / ".spool" / "thumbs").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in kept} == {0o700}
    (picture,) = (path for path in kept if path.suffix == ".jpg")
    with Image.open(picture) as image:
        assert image.size == (SMALL, SMALL)
    assert UID not in str(picture)


@pytest.mark.parametrize("kept", [None, 0, 3])
def test_pictures_go_with_their_study(kept: int | None, root: Path, artist: Artist) -> None:
    thumbs = Thumbs(root, artist)
    thumbs.picture(UID, 1, put(root, encode(make_ct(1))), SMALL)
    thumbs.sweep(cast("Any", lambda: Rows(kept)))
    assert bool(list((root / ".spool" / "thumbs").iterdir())) == bool(kept)


def test_the_oldest_go_where_there_are_too_many(root: Path, artist: Artist) -> None:
    thumbs = Thumbs(root, artist, most_bytes=10)
    thumbs.picture(UID, 1, put(root, encode(make_ct(1))), SMALL)
    thumbs.sweep(cast("Any", lambda: Rows(3)))
    assert not list((root / ".spool" / "thumbs").iterdir())


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "EMPTY"), (b"no dicom" * 99, "NOT_DICOM"),
     (encode(make_report()), "NOT_AN_IMAGE"), (encode(make_ct(1))[:-9], "TRUNCATED")],
)  # fmt: skip
def test_what_cannot_be_drawn_says_why_and_the_next_is_drawn(
    content: bytes, code: str, root: Path, artist: Artist
) -> None:
    thumbs = Thumbs(root, artist)
    with pytest.raises(CannotDecode) as caught:
        thumbs.picture(UID, 1, put(root, content), SMALL)
    assert caught.value.code == code
    with pytest.raises(CannotDecode):  # not asked again
        thumbs.picture(UID, 1, put(root, encode(make_ct(1))), SMALL)
    assert thumbs.picture(UID, 2, put(root, encode(make_ct(1))), SMALL + 1)


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.stdin.readline(); sys.exit(1)",
        "print('nonsense', flush=True); input()",
        "print('{\"bytes\": 99999999999}', flush=True); input()",
    ],
)
def test_a_process_that_fails_is_replaced(program: str, tmp_path: Path) -> None:
    artist = Artist([sys.executable, "-c", program])
    for _ in range(2):
        with pytest.raises(CannotDecode):
            artist.ask("picture", tmp_path, 1)
    artist.close()


def test_one_that_is_late_is_killed(tmp_path: Path) -> None:
    artist = Artist([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(LimitExceeded) as caught:
        artist.ask("picture", tmp_path, 1, answer_s=0.05)
    assert caught.value.code == "TIME"
    artist.close()
