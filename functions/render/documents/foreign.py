"""The pages of somebody else's PDF as objects to copy, taken apart in a process of its own.

Runs as a script: bytes of a PDF come by the standard input, an answer goes to the standard output. It imports
nothing of ours and qpdf's binding alone. Only what draws a page is followed: its content, its resources, and
the appearance of its annotations. Actions, scripts, files, forms and the document's own tree are not.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import zlib
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import pikepdf

MOST_PAGES: Final = 1_000
MOST_OBJECTS: Final = 100_000
MOST_DEPTH: Final = 64
MOST_INFLATED: Final = 512 << 20
MOST_PIXELS: Final = 256 << 20  # of an image, columns by rows
PREFIX: Final = struct.Struct(">LQ")
"""Lengths of the answer's words, JSON, and of its streams."""

_CHUNK: Final = 1 << 20
_SIDES: Final = (3.0, 14_400.0)  # points: the least and the most of a page (PDF 32000-1, annex C)
_DRAWS_NOTHING: Final = frozenset(
    {
        "/Action", "/Annot", "/Catalog", "/EmbeddedFile", "/Filespec", "/MCR", "/Metadata", "/OBJR",
        "/ObjStm", "/Outlines", "/Page", "/Pages", "/Sig", "/StructElem", "/StructTreeRoot", "/Thread",
        "/XRef",
    }
)  # fmt: skip
_ACTIONS: Final = frozenset(
    {
        "/GoTo", "/GoTo3DView", "/GoToE", "/GoToR", "/Hide", "/ImportData", "/JavaScript", "/Launch",
        "/Movie", "/Named", "/Rendition", "/ResetForm", "/SetOCGState", "/Sound", "/SubmitForm", "/Thread",
        "/Trans", "/URI",
    }
)  # fmt: skip
_NEVER: Final = frozenset(
    {
        "/AF", "/Alternates", "/DL", "/FDecodeParms", "/FFilter", "/LastModified", "/Length", "/Measure",
        "/Metadata", "/OPI", "/PieceInfo", "/PtData", "/Ref", "/StructParent", "/StructParents",
    }
)  # fmt: skip
"""Entries of a stream's dictionary that draw nothing, or draw what is outside the file."""
_HIDDEN: Final = 2 | 32  # annotation flags: hidden, not for the screen
_QUIET: Final = frozenset({"/Link", "/Popup", "/Widget"})  # may lack an appearance and be nothing to see
_INHERITED: Final = ("/Resources", "/MediaBox", "/CropBox", "/Rotate")
_GENERATIONS: Final = 64  # of the page tree


class Refused(Exception):
    """The PDF cannot be merged: `args` are a reason code and why."""


@dataclass(slots=True)
class Copied:
    """Objects as pieces: text, and numbers of other objects of this list; where its stream is, of each."""

    objects: list[list[str | int]] = field(default_factory=list)
    places: list[tuple[int, int] | None] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)
    size: int = 0

    def reserve(self) -> int:
        if len(self.objects) >= MOST_OBJECTS:
            raise Refused("MEMORY", f"it has more than {MOST_OBJECTS} objects")
        self.objects.append([])
        self.places.append(None)
        return len(self.objects) - 1

    def put(self, index: int, pieces: list[str | int], data: bytes | None) -> None:
        self.objects[index] = pieces
        if data is not None:
            self.places[index] = self.size, len(data)
            self.streams.append(data)
            self.size += len(data)


class Copier:
    """Copies what pages draw with; each object of the source once."""

    def __init__(self) -> None:
        self.copied = Copied()
        self._known: dict[tuple[int, int], int] = {}
        self._waiting: list[tuple[int, Any]] = []
        self._inflated = 0

    def page(self, page: pikepdf.Page) -> dict[str, Any]:
        """One page as a form (8.10), its size in points, and what of it is not drawn."""
        source = page.obj
        entries = {key: _inherited(source, key) for key in _INHERITED}
        width, height, matrix, box = _geometry(entries, source)
        content = _content(source)
        self._count(len(content))
        index = self.copied.reserve()
        pieces: list[str | int] = ["/Type /XObject /Subtype /Form /Filter /FlateDecode"]
        pieces += [f" /BBox [{_numbers(box)}] /Matrix [{_numbers(matrix)}] /Resources "]
        pieces += self._pieces(entries["/Resources"] or pikepdf.Dictionary(), 0)
        pieces += self._group(source)
        self.copied.put(index, pieces, zlib.compress(content, 6))
        self._copy_waiting()
        return {"form": index, "size": [width, height]}

    def _group(self, source: Any) -> list[str | int]:
        """The page's transparency group; that of a page is isolated (11.4.7)."""
        group = source.get("/Group")
        if not isinstance(group, pikepdf.Dictionary) or group.get("/S") != "/Transparency":
            return []
        knockout = " /K true" if bool(group.get("/K", False)) else ""
        space = group.get("/CS")
        pieces: list[str | int] = [f" /Group << /S /Transparency /I true{knockout}"]
        if space is not None:
            pieces += [" /CS ", *self._pieces(space, 1)]
        return [*pieces, " >>"]

    def _copy_waiting(self) -> None:
        while self._waiting:
            index, value = self._waiting.pop()
            if not isinstance(value, pikepdf.Stream):
                self.copied.put(index, self._pieces(value, 0, direct=True), None)
                continue
            data = value.read_raw_bytes()
            self._check_stream(value, data)
            self.copied.put(index, self._stream_pieces(value), data)

    def _stream_pieces(self, stream: Any) -> list[str | int]:
        pieces: list[str | int] = []
        for key, value in stream.items():
            if key not in _NEVER:
                pieces += [f"{_name(key)} ", *self._pieces(value, 1), " "]
        return pieces

    def _check_stream(self, stream: Any, data: bytes) -> None:
        """Refuse what is elsewhere, or would be too much for whoever opens it."""
        if "/F" in stream:
            raise Refused("CANNOT_DECODE", "a stream of it is in another file")
        if stream.get("/Subtype") == "/PS":
            raise Refused("CANNOT_DECODE", "it holds PostScript")
        if stream.get("/Subtype") == "/Image":
            pixels = int(stream.get("/Width", 0)) * int(stream.get("/Height", 0))
            if pixels > MOST_PIXELS:
                raise Refused("PIXEL_BUDGET", f"an image of it has {pixels} pixels")
        filters = stream.get("/Filter")
        names = [str(name) for name in filters] if isinstance(filters, pikepdf.Array) else [str(filters)]
        if "/Crypt" in names:
            raise Refused("CANNOT_DECODE", "it is encrypted")
        if names[0] in ("/FlateDecode", "/Fl"):
            self._count_inflated(data)
        elif any(name in ("/FlateDecode", "/LZWDecode", "/RunLengthDecode") for name in names):
            self._count(len(stream.read_bytes(pikepdf.StreamDecodeLevel.generalized)))
        else:
            self._count(len(data))

    def _count_inflated(self, data: bytes) -> None:
        inflater, ahead = zlib.decompressobj(), data
        while ahead and not inflater.eof:
            self._count(len(inflater.decompress(ahead, _CHUNK)))
            ahead = inflater.unconsumed_tail

    def _count(self, size: int) -> None:
        self._inflated += size
        if self._inflated > MOST_INFLATED:
            raise Refused("INFLATE_LIMIT", f"it has more than {MOST_INFLATED} bytes inflated")

    def _pieces(self, value: Any, depth: int, *, direct: bool = False) -> list[str | int]:
        """The value as it is written; an indirect one by its number in the copy."""
        if depth > MOST_DEPTH:
            raise Refused("TOO_DEEP", f"its objects are nested deeper than {MOST_DEPTH}")
        if isinstance(value, pikepdf.Object) and value.is_indirect and not direct:
            return [self._reference(value)]
        if isinstance(value, pikepdf.Stream):
            raise Refused("CANNOT_DECODE", "a stream of it is no object")
        if isinstance(value, pikepdf.Dictionary):
            return self._dictionary(value, depth)
        if isinstance(value, pikepdf.Array):
            pieces: list[str | int] = ["["]
            for item in value:
                pieces += [*self._pieces(item, depth + 1), " "]
            return [*pieces, "]"]
        return [_scalar(value)]

    def _dictionary(self, value: Any, depth: int) -> list[str | int]:
        if _draws_nothing(value):
            return ["null"]
        if value.get("/Type") == "/OCG":
            return ["<< /Type /OCG /Name () >>"]  # names and uses of layers draw nothing
        pieces: list[str | int] = ["<< "]
        for key, item in value.items():
            pieces += [f"{_name(key)} ", *self._pieces(item, depth + 1), " "]
        return [*pieces, ">>"]

    def _reference(self, value: Any) -> int:
        number = self._known.get(value.objgen)
        if number is None:
            number = self._known[value.objgen] = self.copied.reserve()
            self._waiting.append((number, value))
        return number


def _draws_nothing(value: Any) -> bool:
    """True of what belongs to the document's tree, or would do something."""
    return str(value.get("/Type", "")) in _DRAWS_NOTHING or str(value.get("/S", "")) in _ACTIONS


def _inherited(source: Any, key: str) -> Any:
    """An entry of the page, or of the nearest node over it that has one (7.7.3.4)."""
    node = source
    for _ in range(_GENERATIONS):
        if key in node:
            return node[key]
        node = node.get("/Parent")
        if not isinstance(node, pikepdf.Dictionary):
            return None
    raise Refused("TOO_DEEP", "its page tree is too deep")


def _geometry(
    entries: dict[str, Any], source: Any
) -> tuple[float, float, tuple[float, ...], tuple[float, ...]]:
    """Width and height as displayed, the matrix that turns the page so, and its box (14.11.2)."""
    media = _rectangle(entries["/MediaBox"]) or (0.0, 0.0, 612.0, 792.0)
    crop = _rectangle(entries["/CropBox"]) or media
    x1, y1 = max(media[0], crop[0]), max(media[1], crop[1])
    x2, y2 = min(media[2], crop[2]), min(media[3], crop[3])
    unit = float(source.get("/UserUnit", 1))
    across, up = (x2 - x1) * unit, (y2 - y1) * unit
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in (across, up)):
        raise Refused("CANNOT_DECODE", "a page of it has no size that can be")
    u, turn = unit, int(entries["/Rotate"] or 0) % 360
    matrices = {
        0: (u, 0, 0, u, -x1 * u, -y1 * u),
        90: (0, -u, u, 0, -y1 * u, x2 * u),
        180: (-u, 0, 0, -u, x2 * u, y2 * u),
        270: (0, u, -u, 0, y2 * u, -x1 * u),
    }
    if turn not in matrices:
        raise Refused("CANNOT_DECODE", "a page of it is turned by no right angle")
    size = (up, across) if turn in (90, 270) else (across, up)
    return (*size, matrices[turn], (x1, y1, x2, y2))


def _rectangle(value: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(value, pikepdf.Array) or len(value) != 4:
        return None
    x1, y1, x2, y2 = (float(number) for number in value)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _content(source: Any) -> bytes:
    """The content stream, its parts in their order (7.8.2)."""
    contents = source.get("/Contents")
    if contents is None:
        return b""
    parts = contents if isinstance(contents, pikepdf.Array) else [contents]
    return b"\n".join(part.read_bytes() for part in parts if isinstance(part, pikepdf.Stream))


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.5f}".rstrip("0").rstrip(".") for value in values)


def _name(key: str) -> str:
    return pikepdf.Name(key).unparse().decode("latin-1")


def _scalar(value: Any) -> str:
    if isinstance(value, pikepdf.Object):
        return value.unparse().decode("latin-1")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def take_apart(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """What the parent gets: pages, pieces of objects, and the streams. Raises `Refused`."""
    pdf = pikepdf.open(io.BytesIO(data), attempt_recovery=False, suppress_warnings=True)
    if pdf.is_encrypted:
        raise Refused("CANNOT_DECODE", "it is encrypted")
    if len(pdf.pages) > MOST_PAGES:
        raise Refused("MEMORY", f"it has more than {MOST_PAGES} pages")
    if not len(pdf.pages):
        raise Refused("CANNOT_DECODE", "it has no pages")
    _refuse_hidden_layers(pdf)
    lost = sum(map(_unseen, pdf.pages))
    pdf.flatten_annotations("screen")
    copier = Copier()
    pages = [copier.page(page) for page in pdf.pages]
    if pdf.get_warnings():
        raise Refused("CANNOT_DECODE", "it is damaged")
    copied = copier.copied
    words = {"pages": pages, "annotations": lost, "objects": copied.objects, "streams": copied.places}
    return words, copied.streams


def _unseen(page: pikepdf.Page) -> int:
    """Annotations that a reader would show in its own way: they have no appearance to copy."""
    annotations = page.obj.get("/Annots")
    if not isinstance(annotations, pikepdf.Array):
        return 0
    return sum(_is_unseen(one) for one in annotations if isinstance(one, pikepdf.Dictionary))


def _is_unseen(annotation: Any) -> bool:
    if int(annotation.get("/F", 0)) & _HIDDEN or "/AP" in annotation:
        return False
    return str(annotation.get("/Subtype")) not in _QUIET or "/V" in annotation


def _refuse_hidden_layers(pdf: pikepdf.Pdf) -> None:
    """Layers that are off would be seen: which are off is said in the document, not on its pages (8.11.4)."""
    properties = pdf.Root.get("/OCProperties")
    if not isinstance(properties, pikepdf.Dictionary):
        return
    default = properties.get("/D", pikepdf.Dictionary())
    if (
        default.get("/BaseState", "/ON") != "/ON"
        or len(default.get("/OFF", []))
        or len(default.get("/AS", []))
    ):
        raise Refused("CANNOT_DECODE", "it has layers that are switched off")


def _answer(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    try:
        return take_apart(data)
    except Refused as refused:
        code, why = refused.args
    except pikepdf.PasswordError:
        code, why = "CANNOT_DECODE", "it is encrypted"
    except MemoryError:
        code, why = "MEMORY", "it takes more memory than the limit allows"
    except (pikepdf.PdfError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, zlib.error):
        code, why = "CANNOT_DECODE", "it is damaged"
    return {"error": code, "why": why}, []


def main() -> None:
    """Limits come as arguments: bytes of memory, seconds of a processor."""
    import resource

    memory, seconds = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pikepdf.settings.set_qpdf_limits(
        parser_max_nesting=MOST_DEPTH, flate_max_memory=MOST_INFLATED, run_length_max_memory=MOST_INFLATED,
        png_max_memory=MOST_INFLATED, tiff_max_memory=MOST_INFLATED,
    )  # fmt: skip
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not speak in our place
    words, streams = _answer(sys.stdin.buffer.read())
    text = json.dumps(words).encode("ascii")
    answers.write(PREFIX.pack(len(text), sum(map(len, streams))))
    answers.write(text)
    for stream in streams:
        answers.write(stream)
    answers.close()


if __name__ == "__main__":
    main()
