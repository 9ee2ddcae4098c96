"""What the clinic puts on the cover: its logo and its colour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from ponte.errors import InvalidRequest

if TYPE_CHECKING:
    from render.pdf import Colour, PageImage

LOGO_BYTES: Final = 2 << 20
LOGO_PIXELS: Final = 4000
LOGO_FOLDER: Final = Path(__file__).with_name("clinic_files")
"""A `logo.png` or `logo.jpg` here is deployed with the function, and found by it."""

_COLOUR: Final = re.compile(r"#?([0-9a-fA-F]{6})")
_MOST_DRAWN: Final = 900  # pixels of the longer side: what the cover can show
_LIGHT: Final = 0.6


@dataclass(frozen=True, slots=True)
class Clinic:
    """`logo` is a PNG or a JPEG as it was given, b"" for none; `colour` is `#rrggbb`, "" for Ponte's own.

    Raises `InvalidRequest` for what is neither.
    """

    logo: bytes = b""
    colour: str = ""

    def __post_init__(self) -> None:
        if self.colour and not _COLOUR.fullmatch(self.colour):
            raise InvalidRequest("The clinic's colour is not of the form #rrggbb")
        if len(self.logo) > LOGO_BYTES:
            raise InvalidRequest(f"The clinic's logo has more than {LOGO_BYTES} bytes")

    @classmethod
    def deployed(cls, colour: str) -> Self:
        """With the logo that was deployed with the function."""
        found = (LOGO_FOLDER / name for name in ("logo.png", "logo.jpg"))
        logo = next((path.read_bytes() for path in found if path.is_file()), b"")
        return cls(logo, colour)

    def accent(self, usual: Colour) -> Colour:
        """The colour of headings and rules."""
        found = _COLOUR.fullmatch(self.colour)
        if found is None:
            return usual
        red, green, blue = (int(found[1][start : start + 2], 16) / 255 for start in (0, 2, 4))
        return red, green, blue

    def picture(self) -> PageImage | None:
        """The logo for the cover, on white. Raises `InvalidRequest` for what cannot be read."""
        if not self.logo:
            return None
        import numpy as np
        from PIL import Image

        from ponte.image import Picture
        from render.page_image import encode_page_image

        try:
            with Image.open(BytesIO(self.logo), formats=("PNG", "JPEG")) as opened:
                if max(opened.size) > LOGO_PIXELS:
                    raise InvalidRequest(f"The clinic's logo is larger than {LOGO_PIXELS} pixels")
                drawn = opened.convert("RGBA")
        except (OSError, SyntaxError, ValueError) as error:
            raise InvalidRequest("The clinic's logo is neither a PNG nor a JPEG that can be read") from error
        drawn.thumbnail((_MOST_DRAWN, _MOST_DRAWN))
        page = Image.new("RGBA", drawn.size, "white")
        page.alpha_composite(drawn)
        return encode_page_image(Picture(np.asarray(page.convert("RGB")), None, ()), lossless=True)


NO_CLINIC: Final = Clinic()


def readable_on(colour: Colour) -> Colour:
    """White, or black where the ground is light."""
    red, green, blue = colour
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > _LIGHT
    return (0.0, 0.0, 0.0) if light else (1.0, 1.0, 1.0)
