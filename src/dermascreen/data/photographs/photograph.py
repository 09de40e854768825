"""The picture that an image viewer shows of a file: complete, upright, 8-bit sRGB, on white where transparent.

Everything that reads a photograph's pixels gets them here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image
from PIL.Image import Transpose
from PIL.JpegImagePlugin import JpegImageFile

from dermascreen.core.errors import ImageError
from dermascreen.data.photographs import jpeg, png
from dermascreen.data.photographs.colour import as_shown
from dermascreen.data.photographs.header import open_header, orientation

MAX_BYTES = 64 * 2**20  # of one file: a network with an input of 224 pixels has no use for more

MEGA = 10**6
MAX_PIXELS = 90 * MEGA  # of a picture that is decoded in full
MAX_JPEG_PIXELS = 250 * MEGA  # of one that is halved in decoding: a JPEG that is decoded row by row
HALF = 2

TRANSPARENT = "It has transparency, which was laid on white."
ON_ITS_SIDE = {Transpose.ROTATE_90, Transpose.ROTATE_270, Transpose.TRANSPOSE, Transpose.TRANSVERSE}


@dataclass(frozen=True)
class Picture:
    """What a viewer shows of a photograph."""

    image: Image.Image  # RGB, without metadata; half the size if there are more than MAX_PIXELS
    width: int  # of the photograph, held upright
    height: int
    warnings: tuple[str, ...]  # to be shown with a prediction


def read_bounded(file: IO[bytes], most: int = MAX_BYTES) -> bytes:
    """The content of a file; if it is larger than `most` bytes, as much as shows that, so that `show` can refuse it."""
    return file.read(most + 1)


def show(name: str, content: bytes) -> Picture:
    """The picture in a JPEG or PNG file; raises ImageError, which says why `name` cannot be shown.

    It may be too large, which is noticed before any pixel is decoded; cut off or damaged; or of a kind that image
    viewers show in different ways or not at all.
    """
    if not content:
        raise ImageError(name, "is empty")
    if len(content) > MAX_BYTES:
        raise ImageError(name, f"is larger than {MAX_BYTES // 2**20} MiB")
    try:
        return _decoded(name, content)
    except MemoryError:
        raise ImageError(name, "needs more memory to decode than is free") from None


def _decoded(name: str, content: bytes) -> Picture:
    opened, raw_mode = open_header(name, content), ""
    width, height = opened.size
    if isinstance(opened, JpegImageFile):
        layout = jpeg.read_layout(content)
        _require_at_most(MAX_JPEG_PIXELS if layout.at_once else MAX_PIXELS, name, opened)
        jpeg.decode(name, opened, content, layout, HALF if width * height > MAX_PIXELS else 1)
    else:
        _require_at_most(MAX_PIXELS, name, opened)
        raw_mode = png.raw_mode(opened)
        png.decode(name, opened, content)
    image, transparent = as_shown(name, opened, content, raw_mode)
    if (turn := orientation(opened)) is not None:
        image = image.transpose(turn)
        if turn in ON_ITS_SIDE:
            width, height = height, width
    image.info.clear()
    return Picture(image, width, height, (TRANSPARENT,) if transparent else ())


def _require_at_most(pixels: int, name: str, image: Image.Image) -> None:
    if image.width * image.height > pixels:
        raise ImageError(
            name,
            f"is {image.width} x {image.height} pixels, {image.width * image.height / MEGA:.0f} megapixels, "
            f"where at most {pixels / MEGA:.0f} can be read",
        )


def open_photograph(name: str, content: bytes) -> Image.Image:
    """The image that `show` returns."""
    return show(name, content).image


def read_photograph(path: Path) -> Image.Image:
    """The image that `show` returns, for a file."""
    with path.open("rb") as file:
        return open_photograph(str(path), read_bounded(file))
