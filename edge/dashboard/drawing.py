"""Draws one image, or lists its header, in a process of its own: what is shown came from outside.

`python -m dashboard.drawing` reads a JSON object a line, `{"do": "picture", "path": .., "most": ..}` or
`{"do": "header", "path": ..}`. It answers each with a JSON line, `{"bytes": n}` followed by so many bytes, or
`{"error": code}`.
"""

from __future__ import annotations

import json
import logging
import sys
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from ponte.errors import LimitExceeded, PonteError

MOST_FILE_BYTES: Final = 256 << 20
_MOST_ELEMENTS = 150
_LONGEST_VALUE = 100
_QUALITY = 85


def main() -> None:
    """Until standard input ends."""
    logging.disable()
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    for line in asked:
        _answer(json.loads(line), answers)
        answers.flush()


def _answer(question: dict[str, Any], answers: BinaryIO) -> None:
    try:
        path = Path(question["path"])
        found = picture(path, question["most"]) if question["do"] == "picture" else header(path)
    except PonteError as error:
        said: dict[str, Any] = {"error": error.code}
    except MemoryError:
        said = {"error": "MEMORY"}
    except OSError:
        said = {"error": "NOT_THERE"}
    except Exception:  # noqa: BLE001  the boundary: whatever a damaged file makes of our packages
        said = {"error": "CANNOT_DECODE"}
    else:
        answers.write(json.dumps({"bytes": len(found)}).encode() + b"\n" + found)
        return
    answers.write(json.dumps(said).encode() + b"\n")


def picture(path: Path, most: int) -> bytes:
    """The middle frame as a JPEG of `most` rows and columns at most. Raises `PonteError`, `OSError`."""
    from PIL import Image

    from ponte.instance import open_instance
    from ponte.video import Video, open_image

    image = open_image(open_instance(_content(path)))
    frame = image.description.poster_frame - 1 if isinstance(image, Video) else image.frame_count // 2
    drawn = Image.fromarray(image.picture(frame).pixels)
    drawn.thumbnail((most, most))
    stream = BytesIO()
    drawn.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def header(path: Path) -> bytes:
    """The first elements as JSON: a list of tag, keyword, VR and the beginning of the value."""
    from ponte.instance import open_instance

    dataset = open_instance(_content(path))
    rows: list[list[str]] = []
    for element in dataset:
        if len(rows) == _MOST_ELEMENTS or element.tag.group > 0x7F00:
            break
        value = "" if element.VR in ("SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN") else str(element.value)
        tag = f"({element.tag.group:04X},{element.tag.element:04X})"
        rows.append([tag, element.keyword or "", str(element.VR), value[:_LONGEST_VALUE]])
    return json.dumps(rows).encode()


def _content(path: Path) -> bytes:
    if path.stat().st_size > MOST_FILE_BYTES:
        raise LimitExceeded(f"The file is larger than {MOST_FILE_BYTES} bytes", code="TOO_LARGE")
    return path.read_bytes()


if __name__ == "__main__":
    main()
