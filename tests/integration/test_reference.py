"""Every file of the corpus that holds pixels, against pipelines of others; the table goes to the docs."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ponte import syntaxes
from ponte.errors import PonteError
from ponte.image import Image, Picture
from ponte.instance import open_instance
from tests.corpus import CORPUS, ROOT, rows
from tests.reference import references

pytestmark = [pytest.mark.corpus, pytest.mark.dcmtk, pytest.mark.exhaustive]

PAGE = ROOT / "docs" / "rendering.md"
START = "<!-- the table: written by make test-all -->"
LEAST_FILES, LEAST_FRAMES = 575, 670
LOSSY = ("4.50", "4.51", "4.53", "4.55", "4.81", "4.91", "4.203", "4.111", "4.112")

_MISLABELLED = "said to be RGB and coded in YCbCr: DCMTK and gdcm believe the dataset, Ponte the code stream"
_DOSE = "DCMTK differs on 32 bits in big endian; the bytes read by hand agree"
_RLE = "gdcm alone differs on colour of more than 8 bits in RLE"
EXPLAINED = {
    "charset/dicom-test-files__SC_rgb_jpeg_lossy_gdcm.dcm": _MISLABELLED,
    "charset/dicom-test-files__SC_rgb_rle_16bit.dcm": _RLE,
    "charset/dicom-test-files__SC_rgb_rle_32bit.dcm": _RLE,
    "ct/pylibjpeg-data__TOSHIBA_J2K_SIZ1_PixRep0.dcm": "signed samples that the dataset calls unsigned: "
    "gdcm believes the dataset, Ponte the code stream",
    "mg/healthcare-dicom-dicomweb-adapter__example-mg.dcm": _MISLABELLED,
    "ot/fo-dicom__GH195.dcm": _MISLABELLED,
    "rtdose/dicom-test-files__rtdose_expb.dcm": _DOSE,
    "rtdose/dicom-test-files__rtdose_expb_1frame.dcm": _DOSE,
    "xc/healthcare-dicom-dicomweb-adapter__example.dcm": _MISLABELLED,
    "xc/healthcare-dicom-dicomweb-adapter__example2.dcm": _MISLABELLED,
}
"""Files whose difference from a pipeline is understood. All of them agree with another one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One frame of one file."""

    file: str
    frame: int
    syntax: str
    compared: tuple[tuple[str, int, float], ...] = ()
    agreed: bool = False
    remark: str = ""

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {most}/{mean:.2f}" for name, most, mean in self.compared)
        return f"| {self.file} | {self.frame + 1} | {self.syntax} | {figures or 'none'} | {self.remark} |"


def compared(row: dict[str, str]) -> list[Line]:
    """The first frame and a middle one; a file that is refused has one line that says why."""
    assert CORPUS is not None
    path = CORPUS / row["file"]
    try:
        image = Image(open_instance(path.read_bytes()))
        pictures = {index: image.picture(index) for index in sorted({0, image.frame_count // 2})}
    except PonteError as error:
        return [Line(row["file"], 0, row["ts_name"], (), False, f"refused: {error.code}")]
    name = syntaxes.name(image.transfer_syntax_uid)
    lossy = image.transfer_syntax_uid.endswith(LOSSY)
    return [line(row["file"], path, name, index, picture, lossy) for index, picture in pictures.items()]


def line(file: str, path: Path, syntax: str, index: int, picture: Picture, lossy: bool) -> Line:
    """The frame against each pipeline that shows it: it agrees where one does."""
    found, agreed, different = [], False, []
    for name, theirs in references(path, index, picture):
        apart = np.abs(theirs.astype(int) - picture.pixels)
        most, mean = int(apart.max()), float(apart.mean())
        near = mean <= 2 if lossy else most <= (2 if picture.pixels.ndim == 3 else 1)
        found.append((name, most, mean))
        agreed = agreed or near
        different += [] if near else [name]
    remark = EXPLAINED.get(file, f"differs: {', '.join(different)}" if different else "")
    if not found:
        remark = EXPLAINED.get(file, "no other pipeline reads it")
    return Line(file, index, syntax, tuple(found), agreed, remark)


def test_every_file_is_shown_as_others_show_it() -> None:
    assert shutil.which("gdcmconv"), "Debian's libgdcm-tools is needed"
    sound = [row for row in rows() if row["family"] != "crafted-malformed" and row["samples"]]
    lines = [one for row in sound for one in compared(row)]
    write(lines)
    shown = [one for one in lines if one.compared]
    assert [str(one) for one in shown if not one.agreed] == []
    assert [str(one) for one in lines if one.remark.startswith("differs")] == []
    assert len({one.file for one in shown}) >= LEAST_FILES
    assert len(shown) >= LEAST_FRAMES
    pipelines = Counter(name for one in shown for name, _, _ in one.compared)
    assert set(pipelines) == {"DCMTK", "gdcm", "numpy", "OpenJPEG", "OpenJPH", "Pillow", "zlib"}


def write(lines: list[Line]) -> None:
    """The table below what is written by hand."""
    text = PAGE.read_text(encoding="utf-8").split(START)[0]
    shown = [one for one in lines if one.compared]
    per_syntax = Counter(one.syntax for one in shown)
    summary = [f"| {name} | {count} |" for name, count in sorted(per_syntax.items())]
    table = [str(one) for one in sorted(lines, key=lambda one: (one.file, one.frame))]
    files = len({one.file for one in shown})
    head = ["| file | frame | syntax | largest/mean difference | remark |", "|---|---|---|---|---|"]
    parts = [
        f"{text}{START}\n",
        f"{len(shown)} frames of {files} files compared; {len(lines) - len(shown)} are not, and say why.\n",
        "\n".join(["| syntax | frames compared |", "|---|---|", *summary]) + "\n",
        "\n".join([*head, *table]),
    ]
    PAGE.write_text("\n".join(parts) + "\n", encoding="utf-8")
