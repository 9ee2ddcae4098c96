"""Whatever a study is mixed of, each of its instances is on a page or named, and the document is sound."""

from __future__ import annotations

import random
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from ponte.quiet import BROKEN_INPUT, quiet
from render.options import Grid
from render.study import RenderOptions, render_study
from tests.corpus import CORPUS, rows
from tests.unit.render.studies import STUDY, Instances

pytestmark = [pytest.mark.corpus, pytest.mark.pdftools]

MIXES, SIZE = 8, 40
MOST_BYTES = 6 << 20
SMALL = [row["file"] for row in rows() if int(row["size"]) <= MOST_BYTES]
GRIDS = (Grid(1, 1), Grid(2, 2), Grid(4, 3), Grid(6, 5))


def instance_of(name: str, number: int) -> tuple[str, bytes] | None:
    """The file as an instance of the study under a UID of its own; None where it cannot be written so."""
    assert CORPUS is not None
    try:
        with quiet():
            dataset = dcmread(CORPUS / name)
            dataset.StudyInstanceUID, dataset.SOPInstanceUID = STUDY, f"2.25.{number}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            buffer = BytesIO()
            dataset.save_as(buffer, enforce_file_format=True)
    except (*BROKEN_INPUT, InvalidDicomError):
        return None
    return str(dataset.SOPInstanceUID), buffer.getvalue()


def options_of(rng: random.Random) -> RenderOptions:
    return RenderOptions(
        anonymize=rng.random() < 0.4,
        lossless=rng.random() < 0.3,
        language=rng.choice(["pt-BR", "en"]),
        grid=rng.choice(GRIDS),
        paper=rng.choice(["A4", "letter", "fit"]),
        frames=5,
    )


@pytest.mark.parametrize("seed", range(MIXES))
def test_a_mix_of_the_catalogue(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    names = rng.sample(SMALL, SIZE)
    made = [made for number, name in enumerate(names, start=1) if (made := instance_of(name, number))]
    path = tmp_path / "study.pdf"
    with path.open("wb") as stream:
        report = render_study(Instances([data for _, data in made]), STUDY, stream, options_of(rng))
    shown = {uid for _, uid in report.sources}
    named = {entry.sop_instance_uid for entry in report.not_shown}
    unreadable = [entry for entry in report.not_shown if not entry.sop_instance_uid]
    assert len({uid for uid, _ in made} - shown - named) == len(unreadable)
    assert report.instances == len(made) > SIZE // 2
    checked = subprocess.run(["qpdf", "--check", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
