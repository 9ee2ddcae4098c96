"""The writer's documents, read back by qpdf's library and by qpdf and poppler themselves."""

from __future__ import annotations

import io
import subprocess
import tracemalloc
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pikepdf
import pytest

from render.pdf import A4_LANDSCAPE, A4_PORTRAIT, Attachment, Canvas, DocumentInfo, PageImage, PdfWriter
from render.typeface import REGULAR

BRASILIA = timezone(timedelta(hours=-3))
INFO = DocumentInfo("Título", "Ponte 9", "pt-BR", datetime(2026, 1, 2, 3, 4, 5, tzinfo=BRASILIA))
PIXELS = bytes(range(64)) * 64
IMAGE = PageImage(64, 64, "DeviceGray", "FlateDecode", zlib.compress(PIXELS))


class Pipe(io.RawIOBase):
    """A stream that can be written to and nothing else."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: object) -> int:
        assert isinstance(data, bytes)
        self.data += data
        return len(data)


def document(pages: int, info: DocumentInfo = INFO, text: str = "page {}") -> bytes:
    out = Pipe()
    writer = PdfWriter(out)  # type: ignore[arg-type]  # RawIOBase is what BinaryIO describes here
    images = [writer.add_image(IMAGE) for _ in range(min(pages, 3))]
    for number in range(pages):
        canvas = Canvas()
        canvas.image("I", 50, 50, 200, 200)
        canvas.text(50, 700, text.format(number), REGULAR, 12)
        size = A4_LANDSCAPE if number % 2 else A4_PORTRAIT
        page = writer.add_page(canvas, size, [("I", images[number % len(images)])])
        if number % 10 == 0:
            writer.add_bookmark(f"Série {number}", page)
    writer.finish(info)
    assert writer.size_bytes == len(out.data)
    return bytes(out.data)


def opened(data: bytes) -> pikepdf.Pdf:
    pdf = pikepdf.open(io.BytesIO(data), attempt_recovery=False)
    assert pdf.check_pdf_syntax() == []
    return pdf


@pytest.mark.parametrize("pages", [1, 2, 32, 33, 1024, 1025])
def test_pages_come_in_the_order_they_were_added_whatever_the_depth_of_the_tree(pages: int) -> None:
    with opened(document(pages)) as pdf:
        assert len(pdf.pages) == pages
        contents = [page.Contents.read_bytes() for page in pdf.pages]
    assert all(b"(page %d)" % number in content for number, content in enumerate(contents))


def test_the_page_tree_is_balanced() -> None:
    with opened(document(1025)) as pdf:
        root = pdf.Root.Pages
        assert int(root.Count) == 1025
        assert [int(kid.Count) for kid in root.Kids] == [1024, 1]
        assert all(len(kid.Kids) <= 32 for kid in root.Kids)


def test_an_image_comes_back_as_it_was() -> None:
    with opened(document(1)) as pdf:
        image = pdf.pages[0].Resources.XObject.I
        assert image.read_bytes() == PIXELS
        assert (int(image.Width), int(image.Height)) == (64, 64)
        assert str(image.ColorSpace) == "/DeviceGray"
        assert not bool(image.Interpolate)


def test_an_image_is_in_the_output_as_soon_as_it_was_added() -> None:
    out = io.BytesIO()
    writer = PdfWriter(out)
    before = len(out.getvalue())
    writer.add_image(IMAGE)
    assert len(out.getvalue()) - before > len(IMAGE.data)


def test_sizes_of_pages_are_those_of_a4() -> None:
    with opened(document(2)) as pdf:
        assert [[float(value) for value in page.MediaBox] for page in pdf.pages] == [
            [0, 0, 595.28, 841.89],
            [0, 0, 841.89, 595.28],
        ]


def test_bookmarks_lead_to_their_pages() -> None:
    with opened(document(25)) as pdf:
        with pdf.open_outline() as outline:
            titles = [item.title for item in outline.root]
            targets = [item.obj.Dest[0].objgen for item in outline.root if item.obj is not None]
        assert titles == ["Série 0", "Série 10", "Série 20"]
        assert targets == [pdf.pages[number].objgen for number in (0, 10, 20)]


@pytest.mark.parametrize(
    "title", ["plain", "João (a) \\ b", "山田^太郎", "Ωmega 🫀", "back\\slash)", "a\x00b"]
)
def test_a_title_carries_the_whole_of_unicode(title: str) -> None:
    info = DocumentInfo(title, "Ponte 9", "en", INFO.created)
    with opened(document(1, info)) as pdf:
        assert str(pdf.docinfo["/Title"]) == title.replace("\x00", " ")
        with pdf.open_metadata() as metadata:
            assert metadata["dc:title"] == title.replace("\x00", " ")


def test_the_document_says_when_and_by_what_it_was_made() -> None:
    with opened(document(1)) as pdf:
        assert str(pdf.docinfo["/CreationDate"]) == "D:20260102030405-03'00'"
        assert str(pdf.docinfo["/Producer"]) == "Ponte 9"
        assert str(pdf.Root.Lang) == "pt-BR"
        with pdf.open_metadata() as metadata:
            assert metadata["xmp:CreateDate"] == "2026-01-02T03:04:05-03:00"
            assert metadata["pdf:Producer"] == "Ponte 9"


def test_no_two_documents_have_the_same_identifier() -> None:
    with opened(document(1)) as one, opened(document(1)) as other:
        assert bytes(one.trailer.ID[0]) != bytes(other.trailer.ID[0])


@pytest.mark.parametrize("text", ["(", ")", "\\", "()\\)(", "a\rb", "coração"])
def test_characters_that_mean_something_to_pdf_are_escaped(text: str) -> None:
    canvas = Canvas()
    canvas.text(10, 10, text, REGULAR, 10)
    pdf = pikepdf.new()
    instructions = pikepdf.parse_content_stream(pikepdf.Stream(pdf, canvas.content()))
    (drawn,) = [bytes(line.operands[0]) for line in instructions if str(line.operator) == "Tj"]
    assert drawn == text.replace("\r", " ").encode("cp1252")


def test_without_finish_no_reader_finds_a_page(tmp_path: Path) -> None:
    out = io.BytesIO()
    writer = PdfWriter(out)
    writer.add_image(IMAGE)
    with pytest.raises(pikepdf.PdfError):
        pikepdf.open(io.BytesIO(out.getvalue()))


def test_memory_does_not_grow_with_what_was_written() -> None:
    class Nowhere(io.BytesIO):
        def write(self, data: object) -> int:
            return len(data)  # type: ignore[arg-type]

    def peak(pages: int) -> int:
        tracemalloc.start()
        writer = PdfWriter(Nowhere())
        image = PageImage(512, 512, "DeviceGray", "DCTDecode", bytes(60_000))
        for _ in range(pages):
            canvas = Canvas()
            canvas.text(10, 10, "text", REGULAR, 10)
            writer.add_page(canvas, A4_PORTRAIT, [("I", writer.add_image(image))])
        writer.finish(INFO)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(2000) - peak(150) < 400_000


@pytest.mark.pdftools
@pytest.mark.parametrize("pages", [1, 40, 1100])
def test_qpdf_finds_nothing_to_remark(pages: int, tmp_path: Path) -> None:
    path = tmp_path / "document.pdf"
    path.write_bytes(document(pages))
    answer = subprocess.run(["qpdf", "--check", path], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "No syntax or stream encoding errors found" in answer.stdout


@pytest.mark.pdftools
def test_poppler_reads_the_text_with_its_accents(tmp_path: Path) -> None:
    path = tmp_path / "document.pdf"
    path.write_bytes(document(1, text="coração (não) {}"))
    answer = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True)
    assert "coração (não) 0" in answer.stdout


def test_a_file_that_is_attached_is_handed_out_as_it_is() -> None:
    """ISO 19005-3, 6.8: it is named in the catalog, and the document says that it is PDF/A-3."""
    out = io.BytesIO()
    writer = PdfWriter(out, comment=b"of ours")
    writer.add_page(Canvas(), A4_PORTRAIT, ())
    writer.add_attachment(Attachment("recibo ç.json", "application/json", b'{"a": 1}\n', INFO.created))
    writer.finish(INFO)
    assert out.getvalue().startswith(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n%of ours\n")
    pdf = opened(out.getvalue())
    (name,) = pdf.attachments
    attached = pdf.attachments[name]
    assert (name, attached.get_file().read_bytes()) == ("recibo ç.json", b'{"a": 1}\n')
    assert attached.get_file().mime_type == "application/json"
    assert str(attached.obj.AFRelationship) == "/Source"
    assert [one.objgen for one in pdf.Root.AF] == [attached.obj.objgen]
    assert b"<pdfaid:part>3</pdfaid:part>" in pdf.Root.Metadata.read_bytes()
