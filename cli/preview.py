"""`ponte preview`: one frame as it is displayed, at stored resolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import print_json, print_line, whole_file
from ponte.errors import InvalidRequest

if TYPE_CHECKING:
    from ponte.display import Window


def preview(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A DICOM file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG to write.")],
    frame: Annotated[
        int | None, typer.Option(min=1, help="Number of the frame, from 1; of a video its poster frame.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(metavar="C,W", help="Window center and width, in modality values.")
    ] = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="Draw the overlays, in white.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write one frame as an 8-bit PNG, gray or RGB, as it would be displayed."""
    from PIL import Image as Png

    from ponte.instance import open_instance
    from ponte.video import Video, open_image

    chosen = None if window is None else parse_window(window)
    image = open_image(open_instance(file.read_bytes()))
    frame = frame or (image.description.poster_frame if isinstance(image, Video) else 1)
    if frame > image.frame_count:
        raise InvalidRequest(f"--frame is {frame}; the image has {image.frame_count}")
    picture = image.picture(frame - 1, chosen, overlays=overlays)
    with whole_file(output) as stream:
        Png.fromarray(picture.pixels).save(stream, "PNG")
    rows, columns = picture.pixels.shape[:2]
    used = None if picture.window is None else [picture.window.center, picture.window.width]
    if not as_json:
        print_line(f"{output}: {columns} x {rows}, window {used or 'none'}")
        return
    print_json(
        {
            "png": str(output),
            "rows": rows,
            "columns": columns,
            "frame": frame,
            "window": used,
            "photometric": image.photometric,
            "notes": list(picture.notes),
        }
    )


def parse_window(text: str) -> Window:
    """`40,400` as center and width of the LINEAR function, whose width is at least 1 (PS3.3 C.11.2.1.2.1)."""
    from ponte.display import Window

    try:
        center, width = map(float, text.split(","))
    except ValueError as error:
        raise InvalidRequest(f"--window is {text}; expected two numbers such as 40,400") from error
    if not width >= 1 or not abs(center) < float("inf") or width == float("inf"):
        raise InvalidRequest(f"--window is {text}; expected a finite center and a width of at least 1")
    return Window(center=center, width=width)
