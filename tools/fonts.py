#!/usr/bin/env python3
"""Make the fonts of the documents from the locked packages: `python tools/fonts.py FOLDER`.

Runs in `.venv`, as the last step of `make setup`; docs/adr/0006-embedded-fonts.md says from what and why.
Variable fonts are fixed at two weights; hints, and tables that neither shaping nor PDF needs, are dropped;
the characters of WinAnsi (PDF 32000-1, annex D.2) get a file of their own, compressed as a PDF holds it.
Equal inputs give equal bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import struct
import sys
import tempfile
import zlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import uharfbuzz as hb

MANIFEST = "manifest.json"
CODES = range(32, 256)
STEMS = {"regular": 88, "bold": 140}
_LAYOUT = ("GSUB", "GPOS", "GDEF")
_UNUSED = ("STAT", "DSIG", "name", "post", "MVAR", "HVAR", "BASE", "VORG", "vhea", "vmtx", "gasp", "hdmx")


@dataclass(frozen=True)
class Source:
    """A font file within a package: `axes` are what it is fixed at, `index` its place in a collection."""

    package: str
    module: str
    file: str
    axes: dict[str, float]
    index: int = 0


def _variable(slug: str, title: str, axes: dict[str, float]) -> dict[str, Source]:
    module = "fontpkg_" + slug.replace("-", "_")
    file = f"files/{title}[{','.join(sorted(axes))}].ttf"
    weights = {"regular": 400.0, "bold": 700.0}
    return {
        style: Source("fontpkg-" + slug, module, file, {**axes, "wght": weight})
        for style, weight in weights.items()
    }


# The third face of the collection is the simplified Chinese one; it has the others' shapes by language.
_CJK = Source("noto-cjk-sans-otc", "noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc", {}, 2)
FACES = {
    "sans": _variable("arimo", "Arimo", {"wght": 0}),
    "cairo": _variable("cairo", "Cairo", {"slnt": 0, "wght": 0}),
    "arabic": _variable("noto-sans-arabic", "NotoSansArabic", {"wdth": 100, "wght": 0}),
    "thai": _variable("noto-sans-thai", "NotoSansThai", {"wdth": 100, "wght": 0}),
    "cjk": {"regular": _CJK},
}
POSTSCRIPT = {
    "sans": "Arimo",
    "cairo": "Cairo",
    "arabic": "NotoSansArabic",
    "thai": "NotoSansThai",
    "cjk": "NotoSansCJKsc",
}


def opened(source: Source) -> hb.Face:
    found = importlib.util.find_spec(source.module)
    if found is None or found.origin is None:
        raise SystemExit(f"fonts: {source.package} is not installed: make setup")
    return hb.Face(hb.Blob.from_file_path(Path(found.origin).parent / source.file), source.index)


def subset(face: hb.Face, source: Source, unicodes: set[int], drop: tuple[str, ...]) -> hb.Face:
    wanted = hb.SubsetInput()
    wanted.unicode_set.update(unicodes)
    # With an identity charset a glyph's CID is its number in this file, and stays so in subsets of it.
    flags = hb.SubsetFlags
    wanted.flags = flags.NO_HINTING | flags.NOTDEF_OUTLINE | flags.CFF_IDENTITY_CHARSET
    wanted.drop_table_tag_set.update(struct.unpack(">I", tag.encode())[0] for tag in drop)
    for tag, value in source.axes.items():
        if not wanted.pin_axis_location(face, tag, value):
            raise SystemExit(f"fonts: {source.file} has no axis {tag}")
    return hb.subset(face, wanted)


def describe(face: hb.Face, name: str, style: str) -> dict[str, Any]:
    """What a font descriptor says of a face (PDF 32000-1, 9.8), in thousandths of the size."""
    head, os2 = face.reference_table("head").data, face.reference_table("OS/2").data
    hhea = face.reference_table("hhea").data
    scale = 1000 / face.upem
    ascent, descent = struct.unpack(">hh", hhea[4:8])
    return {
        "name": f"{POSTSCRIPT[name]}-{style.capitalize()}",
        "outlines": "cff" if face.reference_table("CFF ").data else "truetype",
        "bbox": [round(value * scale) for value in struct.unpack(">4h", head[36:44])],
        "ascent": round(ascent * scale),
        "descent": round(descent * scale),
        "cap_height": round(struct.unpack(">h", os2[88:90])[0] * scale),
        "stem_v": STEMS[style],
    }


def width_table(face: hb.Face) -> list[int]:
    """Widths by code of WinAnsi; a code without a character is 0 wide."""
    font, widths = hb.Font(face), []
    for code in CODES:
        character = bytes([code]).decode("cp1252", "ignore")
        glyph = font.get_nominal_glyph(ord(character)) if character and code != 127 else None
        widths.append(round(font.get_glyph_h_advance(glyph) * 1000 / face.upem) if glyph else 0)
    return widths


def latin(full: hb.Face, style: str, folder: Path) -> dict[str, Any]:
    """The face for text in WinAnsi, ready to be written."""
    characters = {ord(c) for c in bytes(c for c in CODES if c != 127).decode("cp1252", "ignore")}
    face = subset(full, Source("", "", "", {}), characters, (*_LAYOUT, *_UNUSED))
    data, file = face.blob.data, f"latin-{style}.z"
    (folder / file).write_bytes(zlib.compress(data, 9))
    return {
        **describe(full, "sans", style),
        "file": file,
        "length": len(data),
        "widths": width_table(face),
    }


def build(folder: Path) -> None:
    faces: dict[str, Any] = {}
    for name, styles in FACES.items():
        for style, source in styles.items():
            face = opened(source)
            full = subset(face, source, set(face.unicodes), _UNUSED)
            file = f"{name}-{style}.{'otf' if name == 'cjk' else 'ttf'}"
            (folder / file).write_bytes(full.blob.data)
            if name == "sans":
                faces["latin-" + style] = latin(full, style, folder)
            faces[f"{name}-{style}"] = {**describe(full, name, style), "file": file}
    manifest = {"inputs": inputs(), "sources": sources(), "faces": faces}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def sources() -> list[dict[str, str]]:
    """The packages, their versions and the licence of what is in them."""
    packages = sorted({source.package for styles in FACES.values() for source in styles.values()})
    return [{"package": p, "version": metadata.version(p), "licence": "OFL-1.1"} for p in packages]


def inputs() -> str:
    """Digest of all that the files are made from."""
    value = hashlib.sha256(Path(__file__).read_bytes())
    value.update(json.dumps([sources(), metadata.version("uharfbuzz")]).encode())
    return value.hexdigest()


def licences(folder: Path) -> None:
    """The OFL goes where the fonts go (its condition 2)."""
    for styles in FACES.values():
        source = styles["regular"]
        files = metadata.files(source.package) or ()
        (text,) = [file for file in files if file.name == "LICENSE" and ".dist-info" in file.parts[0]]
        shutil.copyfile(text.locate(), folder / f"LICENSE-{source.package}")


def main() -> None:
    folder = Path(sys.argv[1])
    try:
        if json.loads((folder / MANIFEST).read_text())["inputs"] == inputs():
            return
    except (OSError, ValueError, KeyError):
        pass
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "fonts"
        made.mkdir()
        build(made)
        licences(made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


if __name__ == "__main__":
    main()
