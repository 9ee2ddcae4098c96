"""The font files that `tools/fonts.py` made, and what their manifest says of them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import uharfbuzz

MANIFEST: Final = "manifest.json"
IN_PREFIX: Final = Path("share", "ponte", "fonts")
PLACES: Final = (Path("/opt") / IN_PREFIX, Path(sys.prefix) / IN_PREFIX)
"""In Lambda the layer, elsewhere the environment that runs this."""

Style = Literal["regular", "bold"]
_SCRIPTS: Final = ("sans", "cairo", "arabic", "thai", "cjk")
_FIRST_RESOURCE: Final = 3  # F1 and F2 are the faces of text in WinAnsi


class MissingFontsError(RuntimeError):
    """There is no manifest where the fonts should be."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a font descriptor says (PDF 32000-1, 9.8), in thousandths of the size."""

    name: str
    bbox: tuple[int, int, int, int]
    ascent: int
    descent: int
    cap_height: int
    stem_v: int


@dataclass(frozen=True, slots=True)
class LatinFile:
    """A TrueType file with the characters of WinAnsi: `length` bytes once `path` is inflated.

    `widths` are those of codes 32 to 255.
    """

    descriptor: Descriptor
    path: Path
    length: int
    widths: tuple[int, ...]


class FontFile:
    """A font of one or more scripts, opened when a text first needs it. `resource` names it in a page."""

    def __init__(self, resource: str, path: Path, descriptor: Descriptor, outlines: str) -> None:
        self.resource = resource
        self.descriptor = descriptor
        self.is_cff = outlines == "cff"
        self.meanings: dict[int, str] = {}
        self._path = path

    @cached_property
    def face(self) -> uharfbuzz.Face:
        """The face, mapped into memory: only what is touched of it is read."""
        import uharfbuzz  # takes 20 ms: only where a text needs it

        return uharfbuzz.Face(uharfbuzz.Blob.from_file_path(self._path))

    @cached_property
    def font(self) -> uharfbuzz.Font:
        """The face at its own scale."""
        import uharfbuzz

        return uharfbuzz.Font(self.face)

    def has(self, character: str) -> bool:
        """Whether the font has a glyph for `character`."""
        return bool(self.font.get_nominal_glyph(ord(character)))

    def means(self, glyph: int, character: str) -> bool:
        """Whether readers are told that `glyph` is `character`: of several that it draws, the first is."""
        return self.meanings.setdefault(glyph, character) == character

    def width(self, glyph: int) -> int:
        """The advance of a glyph, in thousandths of the size."""
        advance: int = self.font.get_glyph_h_advance(glyph)
        scale: float = 1000 / self.face.upem
        return round(advance * scale)


class Library:
    """The fonts of one folder. Raises `MissingFontsError`."""

    def __init__(self, folder: Path) -> None:
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
        except FileNotFoundError:
            raise MissingFontsError(f"no fonts in {folder}") from None
        self.sources: list[dict[str, str]] = manifest["sources"]
        self._folder = folder
        self._faces: dict[str, dict[str, Any]] = manifest["faces"]
        names = [name for name in self._faces if not name.startswith("latin-")]
        self._files = {name: self._file(f"F{n}", name) for n, name in enumerate(names, _FIRST_RESOURCE)}

    def latin(self, style: Style) -> LatinFile:
        """The face for text that WinAnsi can say."""
        entry = self._faces[f"latin-{style}"]
        path = self._folder / entry["file"]
        return LatinFile(_descriptor(entry), path, entry["length"], tuple(entry["widths"]))

    def files(self, style: Style) -> tuple[FontFile, ...]:
        """The fonts of all scripts in order of preference; one that has no bold stands for it."""
        return tuple(
            self._files.get(f"{script}-{style}", self._files[f"{script}-regular"]) for script in _SCRIPTS
        )

    def is_bold(self, file: FontFile) -> bool:
        """Whether a font has the weight of bold text by itself."""
        return any(file is found for name, found in self._files.items() if name.endswith("-bold"))

    def _file(self, resource: str, name: str) -> FontFile:
        entry = self._faces[name]
        return FontFile(resource, self._folder / entry["file"], _descriptor(entry), entry["outlines"])


def _descriptor(entry: dict[str, Any]) -> Descriptor:
    left, bottom, right, top = entry["bbox"]
    bbox = (left, bottom, right, top)
    return Descriptor(
        entry["name"], bbox, entry["ascent"], entry["descent"], entry["cap_height"], entry["stem_v"]
    )


@cache
def installed() -> Library | None:
    """The fonts of this installation, None where they were not made."""
    for folder in PLACES:
        try:
            return Library(folder)
        except MissingFontsError:
            continue
    return None
