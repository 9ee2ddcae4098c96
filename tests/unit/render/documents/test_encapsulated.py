"""Encapsulated PDFs: the same pages as before, and nothing that acts, hides or explodes."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, Pdf, Stream
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage
from reportlab.pdfgen.canvas import Canvas as Drawing

from ponte.errors import CannotDecode, LimitExceeded, MissingAttribute, PonteError
from ponte.instance import open_instance
from render.documents import drawer_of, encapsulated, foreign
from render.pdf import PdfWriter
from render.texts import TEXTS
from tests.factories import encode, make_dataset
from tests.unit.render.documents.paper import put, tool

pytestmark = pytest.mark.pdftools

Change = Callable[[Pdf], None]


def instance(pdf: bytes, **attributes: Any) -> Dataset:
    said = {"Modality": "DOC", "DocumentTitle": "Laudo", **attributes}
    dataset = make_dataset(EncapsulatedPDFStorage, **said)
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return open_instance(encode(dataset))


def made(pages: int = 1) -> bytes:
    """Pages with text, a picture, lines and a form within a form."""
    out = BytesIO()
    drawing = Drawing(out, pagesize=(300, 400))
    picture = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    for number in range(pages):
        drawing.setFillColorRGB(0.9, 0.3, 0.1 * (number % 10))
        drawing.rect(40, 50, 120, 60, fill=1)
        drawing.drawInlineImage(picture, 180, 250, 80, 80)
        drawing.setFont("Times-Roman", 18)
        drawing.drawString(40, 300, f"Page {number + 1} (of many)")
        drawing.beginForm(f"inner{number}")
        drawing.circle(200, 120, 40)
        drawing.endForm()
        drawing.doForm(f"inner{number}")
        drawing.showPage()
    drawing.save()
    return out.getvalue()


def changed(change: Change, pages: int = 1, **saving: Any) -> bytes:
    pdf = pikepdf.open(BytesIO(made(pages)))
    change(pdf)
    out = BytesIO()
    pdf.save(out, **saving)
    return out.getvalue()


def seen(path: Path, folder: Path, dpi: int = 72) -> list[npt.NDArray[np.int16]]:
    """Every page as poppler draws it, each 8 by 8 pixels as one: edges may lie half a pixel elsewhere."""
    folder.mkdir()
    tool("pdftoppm", "-r", str(dpi), "-cropbox", "-png", path, folder / "page")
    pages = [Image.open(page).convert("RGB") for page in sorted(folder.iterdir())]
    return [np.asarray(page.reduce(8), np.int16) for page in pages]


def assert_same_pages(pdf: bytes, tmp_path: Path, unit: int = 1) -> Pdf:
    """Poppler sees the same in the original and in ours; returns ours."""
    (tmp_path / "before.pdf").write_bytes(pdf)
    put(tmp_path / "after.pdf", instance(pdf))
    tool("qpdf", "--check", tmp_path / "after.pdf")
    before = seen(tmp_path / "before.pdf", tmp_path / "before", 72 * unit)
    after = seen(tmp_path / "after.pdf", tmp_path / "after")
    assert [page.shape for page in before] == [page.shape for page in after]
    for one, other in zip(before, after, strict=True):
        assert np.ptp(one) > 100
        assert np.abs(one - other).max() < 24
    return pikepdf.open(tmp_path / "after.pdf")


def rotated(turn: int) -> Change:
    def change(pdf: Pdf) -> None:
        pdf.pages[0].Rotate = turn

    return change


def cropped(pdf: Pdf) -> None:
    pdf.pages[0].MediaBox = Array([-20, -30, 280, 420])
    pdf.pages[0].CropBox = Array([20, 40, 270, 390])
    pdf.pages[0].Rotate = 90


def larger(pdf: Pdf) -> None:
    pdf.pages[0].UserUnit = 2


def in_parts(pdf: Pdf) -> None:
    content = pdf.pages[0].Contents.read_bytes()
    middle = content.index(b"BT")
    pdf.pages[0].Contents = Array([pdf.make_stream(content[:middle]), pdf.make_stream(content[middle:])])


def inheriting(pdf: Pdf) -> None:
    page = pdf.pages[0].obj
    for key in ("/Resources", "/MediaBox"):
        page.Parent[key] = page[key]
        del page[key]


def going_round(pdf: Pdf) -> None:
    """The resources of the forms are those of the page, which hold the forms."""
    resources = pdf.make_indirect(pdf.pages[0].Resources)
    pdf.pages[0].Resources = resources
    for form in resources.XObject.values():
        form.Resources = resources


def half_seen(pdf: Pdf) -> None:
    """A transparency group, and a state that draws half through."""
    page = pdf.pages[0]
    page.Group = Dictionary(S=Name.Transparency, CS=Name.DeviceRGB)
    page.Resources.ExtGState = Dictionary(Half=Dictionary(Type=Name.ExtGState, ca=0.5, BM=Name.Multiply))
    page.contents_add(b"q /Half gs 0 0 1 rg 60 40 150 150 re f Q")


def stamped(pdf: Pdf) -> None:
    """An annotation with an appearance: part of what one sees."""
    look = Stream(
        pdf, b"0 0.6 0 rg 0 0 60 30 re f", Type=Name.XObject, Subtype=Name.Form, BBox=[0, 0, 60, 30]
    )
    stamp = Dictionary(Type=Name.Annot, Subtype=Name.Stamp, Rect=[200, 20, 260, 50], F=4)
    stamp.AP = Dictionary(N=pdf.make_indirect(look))
    pdf.pages[0].Annots = Array([pdf.make_indirect(stamp)])


@pytest.mark.parametrize(
    "change",
    [*map(rotated, (0, 90, 180, 270)), cropped, in_parts, inheriting, going_round, half_seen, stamped],
    ids=lambda change: change.__name__,
)
def test_the_page_is_the_same_as_before(tmp_path: Path, change: Change) -> None:
    assert_same_pages(changed(change), tmp_path)


def test_a_larger_unit_makes_a_larger_page(tmp_path: Path) -> None:
    """Poppler does not know UserUnit: it draws the original at twice the resolution instead."""
    assert_same_pages(changed(larger), tmp_path, unit=2)


def test_every_page_is_there_in_its_order(tmp_path: Path) -> None:
    assert_same_pages(made(12), tmp_path)


def test_object_streams_are_read(tmp_path: Path) -> None:
    packed = changed(lambda pdf: None, 3, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    assert_same_pages(packed, tmp_path)


def test_nothing_that_acts_is_merged(tmp_path: Path) -> None:
    """DC-71: an encapsulated PDF with scripts, actions, files, a form and metadata."""

    def armed(pdf: Pdf) -> None:
        script = pdf.make_indirect(Dictionary(S=Name.JavaScript, JS="CANARY()"))
        pdf.Root.OpenAction = script
        pdf.Root.AA = Dictionary(WC=script)
        pdf.Root.Names = Dictionary(JavaScript=Dictionary(Names=Array(["CANARY", script])))
        pdf.Root.Metadata = pdf.make_stream(b"CANARY")
        pdf.attachments["CANARY"] = b"CANARY"
        page = pdf.pages[0]
        page.AA = Dictionary(O=script)
        page.PieceInfo = Dictionary(App=Dictionary(Private="CANARY"))
        link = Dictionary(
            Type=Name.Annot, Subtype=Name.Link, Rect=[0, 0, 300, 400], A=script, Border=[0, 0, 0]
        )
        link.URI = Dictionary(S=Name.URI, URI="https://CANARY.example")
        field = Dictionary(
            Type=Name.Annot, Subtype=Name.Widget, FT=Name.Btn, T="CANARY", AA=Dictionary(U=script)
        )
        field.Rect = Array([10, 10, 50, 50])
        page.Annots = Array([pdf.make_indirect(link), pdf.make_indirect(field)])
        pdf.Root.AcroForm = Dictionary(Fields=Array([page.Annots[1]]), XFA="CANARY")
        font = page.Resources.Font[next(iter(page.Resources.Font.keys()))]
        font.Evil = script
        font.Up = page.obj

    pdf = assert_same_pages(changed(armed), tmp_path)
    everything = tool("qpdf", "--qdf", "--object-streams=disable", tmp_path / "after.pdf", "-")
    for never in (
        "CANARY",
        "JavaScript",
        "/JS",
        "/AA",
        "/OpenAction",
        "/Annots",
        "/AcroForm",
        "/URI",
        "/EmbeddedFile",
    ):
        assert never not in everything
    assert len(pdf.pages) == 1


def test_annotations_without_an_appearance_are_counted(tmp_path: Path) -> None:
    def noted(pdf: Pdf) -> None:
        note = Dictionary(Type=Name.Annot, Subtype=Name.Text, Rect=[0, 0, 20, 20], Contents="read this")
        link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=[0, 0, 20, 20])
        pdf.pages[0].Annots = Array([pdf.make_indirect(note), pdf.make_indirect(link)])

    document = put(tmp_path / "after.pdf", instance(changed(noted)))
    assert document.left_out == "Annotations or form fields not shown: 1."


def test_a_sheet_has_the_size_of_the_page_and_no_bands(tmp_path: Path) -> None:
    document = put(tmp_path / "after.pdf", instance(changed(rotated(90))))
    (sheet,) = document.sheets
    assert (sheet.size, sheet.framed) == ((400, 300), False)
    assert document.title == "Encapsulated PDF · Laudo"


def test_anonymous_documents_have_no_pages_and_say_so(tmp_path: Path) -> None:
    dataset = instance(made(), DocumentTitle="CANARY")
    document = put(tmp_path / "after.pdf", dataset, anonymize=True)
    assert not document.sheets
    assert document.left_out
    assert "CANARY" not in document.title
    assert b"Page 1" not in (tmp_path / "after.pdf").read_bytes()


def layered(pdf: Pdf) -> None:
    layer = pdf.make_indirect(Dictionary(Type=Name.OCG, Name="Answers"))
    pdf.Root.OCProperties = Dictionary(OCGs=Array([layer]), D=Dictionary(OFF=Array([layer])))


def elsewhere(pdf: Pdf) -> None:
    form = next(iter(pdf.pages[0].Resources.XObject.values()))
    form.F = "/etc/passwd"


def deep(pdf: Pdf) -> None:
    nested = Array([])
    for _ in range(foreign.MOST_DEPTH + 2):
        nested = Array([nested])
    pdf.pages[0].Resources.Pattern = Dictionary(A=nested)


def huge(pdf: Pdf) -> None:
    image = pdf.make_stream(
        zlib.compress(b"\0"), Type=Name.XObject, Subtype=Name.Image, Filter=Name.FlateDecode
    )
    image.Width = image.Height = 60_000
    pdf.pages[0].Resources.XObject["/Huge"] = image


def crowded(pdf: Pdf) -> None:
    many = [pdf.make_indirect(Dictionary(Number=number)) for number in range(300)]
    pdf.pages[0].Resources.Many = Array(many)


def bomb(pdf: Pdf) -> None:
    zeros = zlib.compressobj(9)
    header = zeros.compress(b"") + zeros.flush(zlib.Z_FULL_FLUSH)
    block = zeros.compress(bytes(1 << 20)) + zeros.flush(zlib.Z_FULL_FLUSH)
    data = header + block * 600 + zeros.flush()
    stream = pdf.make_stream(b"")
    stream.write(data, filter=Name.FlateDecode)
    pdf.pages[0].Resources.XObject["/Bomb"] = stream


def bombs(pdf: Pdf) -> None:
    bomb(pdf)
    pdf.pages[0].Contents = pdf.pages[0].Resources.XObject["/Bomb"]


def tiny(pdf: Pdf) -> None:
    pdf.pages[0].MediaBox = Array([0, 0, 1, 1])


BROKEN: dict[str, tuple[Callable[[], bytes], type[PonteError], str]] = {
    "empty": (lambda: b"", MissingAttribute, "CANNOT_DECODE"),
    "something else": (lambda: b"no PDF at all", CannotDecode, "CANNOT_DECODE"),
    "without its end": (lambda: made()[:-200], CannotDecode, "CANNOT_DECODE"),
    "half of it": (lambda: made()[: len(made()) // 2], CannotDecode, "CANNOT_DECODE"),
    "a hidden layer": (lambda: changed(layered), CannotDecode, "CANNOT_DECODE"),
    "a stream elsewhere": (lambda: changed(elsewhere), CannotDecode, "CANNOT_DECODE"),
    "too small a page": (lambda: changed(tiny), CannotDecode, "CANNOT_DECODE"),
    "a page askew": (lambda: changed(rotated(45)), CannotDecode, "CANNOT_DECODE"),
    "too many pixels": (lambda: changed(huge), LimitExceeded, "PIXEL_BUDGET"),
    "nested too deep": (lambda: changed(deep), CannotDecode, "CANNOT_DECODE"),
    "a bomb": (lambda: changed(bomb, compress_streams=False), LimitExceeded, "INFLATE_LIMIT"),
    "a bomb of content": (
        lambda: changed(bombs, compress_streams=False),
        CannotDecode,
        "CANNOT_DECODE",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_merged_has_a_reason(name: str) -> None:
    make, error, code = BROKEN[name]
    with pytest.raises(error) as raised:
        _drawn(make())
    assert raised.value.code == code


@pytest.mark.parametrize("user", ["", "secret"])
def test_what_is_encrypted_has_a_reason(user: str) -> None:
    encryption = pikepdf.Encryption(owner="owner", user=user)
    with pytest.raises(CannotDecode, match="encrypted"):
        _drawn(changed(lambda pdf: None, encryption=encryption))


def test_more_objects_or_pages_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "MOST_OBJECTS", 100)
    with pytest.raises(foreign.Refused, match="100 objects"):
        foreign.take_apart(changed(crowded))
    monkeypatch.setattr(foreign, "MOST_PAGES", 2)
    with pytest.raises(foreign.Refused, match="2 pages"):
        foreign.take_apart(made(3))


def test_more_bytes_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encapsulated, "MOST_BYTES", 100)
    with pytest.raises(LimitExceeded):
        _drawn(made())


def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text("while True: pass")
    monkeypatch.setattr(encapsulated, "_SCRIPT", script)
    monkeypatch.setattr(encapsulated, "SECONDS", 1)
    with pytest.raises(LimitExceeded) as raised:
        _drawn(made())
    assert raised.value.code == "TIME"


def test_the_binding_of_qpdf_stays_out_of_this_process() -> None:
    probe = "import sys, render.documents.encapsulated as e; sys.exit('pikepdf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe]).returncode == 0


def _drawn(pdf: bytes) -> None:
    drawer = drawer_of(EncapsulatedPDFStorage)
    drawer(instance(pdf), PdfWriter(BytesIO()), TEXTS["en"], anonymize=False)
