"""One candidate, once, in a process of its own: `python -m bench.candidates NAME STUDY WARM_UP OUT.pdf`.

Prints what it took as JSON. Imports, and a first study of one instance, are measured apart.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

PAGE = (595.28, 841.89)
Candidate = Callable[[Path, Path], float | None]
"""Answers the CPU time that counts, where not all that it did counts."""


def ours(*, lossless: bool = False) -> Candidate:
    """`render_study` over the folder, without a cover, as the peers have none."""
    from ponte.folder import FolderSource
    from render.study import RenderOptions, render_study

    def run(folder: Path, output: Path) -> None:
        source = FolderSource(folder)
        (study,) = source.studies()
        with output.open("wb") as stream:
            render_study(source, study, stream, RenderOptions(cover_page=False, lossless=lossless))

    return run


def limit() -> Candidate:
    """What no pipeline can do without: decode, window and JPEG of each frame, everything else given."""
    import imagecodecs
    import numpy as np
    from pydicom import Dataset, dcmread
    from pydicom.encaps import generate_frames
    from pydicom.uid import JPEG2000Lossless

    def table(dataset: Dataset) -> Any:
        slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
        low = dataset.WindowCenter - 0.5 - (dataset.WindowWidth - 1) / 2
        shown = (np.arange(1 << 16) * float(slope) + float(intercept) - float(low)) * 255
        return np.clip(shown / float(dataset.WindowWidth - 1), 0, 255).astype(np.uint8)

    def pages(dataset: Dataset) -> tuple[float, list[bytes]]:
        syntax = dataset.file_meta.TransferSyntaxUID
        decode = imagecodecs.jpeg2k_decode if syntax == JPEG2000Lossless else imagecodecs.jpeg8_decode
        native = np.frombuffer(dataset.PixelData, np.uint16) if not syntax.is_encapsulated else None
        frames = list(generate_frames(dataset.PixelData)) if native is None else [b""]
        gray = table(dataset) if dataset.SamplesPerPixel == 1 else None
        began, encoded = cpu_seconds(), []
        for frame in frames:
            pixels = decode(frame) if native is None else native.reshape(dataset.Rows, dataset.Columns)
            shown = pixels if gray is None else np.take(gray, pixels, mode="clip")
            encoded.append(bytes(imagecodecs.jpeg8_encode(shown, level=90, subsampling="444")))
        return cpu_seconds() - began, encoded

    def run(folder: Path, output: Path) -> float:
        taken = 0.0
        with output.open("wb") as stream:
            for path in sorted(folder.iterdir()):
                seconds, encoded = pages(dcmread(path))
                taken += seconds
                stream.writelines(encoded)
        return taken

    return run


def straightforward() -> Candidate:
    """What one writes first: pydicom's own functions, Pillow, ReportLab (its ASCII85 off)."""
    import numpy as np
    from PIL import Image
    from pydicom import dcmread
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array
    from reportlab import rl_config
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    rl_config.useA85 = 0

    def frames(path: Path) -> list[BytesIO]:
        dataset = dcmread(path)
        pixels = pixel_array(dataset)
        if dataset.SamplesPerPixel == 1:
            values = apply_voi_lut(apply_modality_lut(pixels, dataset), dataset)
            scaled = (values - values.min()) / max(float(values.max() - values.min()), 1.0) * 255
            pixels = scaled.astype(np.uint8)
            if dataset.PhotometricInterpretation == "MONOCHROME1":
                pixels = 255 - pixels
        encoded = []
        for frame in pixels if dataset.get("NumberOfFrames", 1) > 1 else [pixels]:
            buffer = BytesIO()
            Image.fromarray(frame).save(buffer, "JPEG", quality=90)
            encoded.append(buffer)
        return encoded

    def run(folder: Path, output: Path) -> None:
        canvas = Canvas(str(output), pagesize=PAGE)
        for path in sorted(folder.iterdir()):
            for number, frame in enumerate(frames(path), start=1):
                canvas.drawImage(ImageReader(frame), 30, 60, 535, 720, preserveAspectRatio=True)
                canvas.drawString(30, 810, f"{path.name} {number}")
                canvas.showPage()
        canvas.save()

    return run


def dcmtk() -> Candidate:
    """`dcmj2pnm` for every file; its JPEGs become a PDF by pikepdf, the fastest that comes ready-made."""
    import pikepdf
    from PIL import Image

    def convert(path: Path, folder: Path) -> None:
        command = ["dcmj2pnm", "+oj", "+Jq", "90", "+Fa", str(path), str(folder / path.stem)]
        windowed = subprocess.run([*command[:5], "+Wi", "1", *command[5:]], capture_output=True)
        if windowed.returncode != 0:  # colour has no window
            subprocess.run(command, check=True, capture_output=True)

    def add(pdf: pikepdf.Pdf, path: Path) -> None:
        with Image.open(path) as opened:
            (width, height), mode = opened.size, opened.mode
        image = pikepdf.Stream(pdf, path.read_bytes())
        image.Type, image.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
        image.Width, image.Height, image.BitsPerComponent = width, height, 8
        image.ColorSpace = pikepdf.Name.DeviceGray if mode == "L" else pikepdf.Name.DeviceRGB
        image.Filter = pikepdf.Name.DCTDecode
        page = pdf.add_blank_page(page_size=PAGE)
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(I=image))
        page.Contents = pikepdf.Stream(pdf, f"535 0 0 {535 * height / width:.2f} 30 60 cm /I Do".encode())

    def run(folder: Path, output: Path) -> None:
        with tempfile.TemporaryDirectory() as work:
            for path in sorted(folder.iterdir()):
                convert(path, Path(work))
            pdf = pikepdf.new()
            for path in sorted(Path(work).iterdir()):
                add(pdf, path)
            pdf.save(output)

    return run


CANDIDATES: Mapping[str, Callable[[], Candidate]] = {
    "ours": ours,
    "ours-lossless": partial(ours, lossless=True),
    "limit": limit,
    "straightforward": straightforward,
    "dcmj2pnm": dcmtk,
}


def cpu_seconds() -> float:
    """User and system time of this process and of those it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    return _memory("VmHWM:")


def memory_bytes() -> int:
    """The memory that this process holds now."""
    return _memory("VmRSS:")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(name)]
    return int(line.split()[1]) * 1024


def main() -> None:
    """Run what the command line names and print its figures."""
    name, study, warm_up, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    began = cpu_seconds()
    candidate = CANDIDATES[name]()
    imported = cpu_seconds()
    candidate(warm_up, output)
    ready, clock = cpu_seconds(), time.perf_counter()
    counted = candidate(study, output)
    figures = {
        "import_cpu": imported - began,
        "cpu": cpu_seconds() - ready if counted is None else counted,
        "wall": time.perf_counter() - clock,
        "bytes": output.stat().st_size,
        "peak": peak_bytes(),
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
