"""The header of a photograph's file, read with Pillow before any pixel is decoded, whatever the header holds."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL.ExifTags import Base
from PIL.Image import Transpose
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from dermascreen.core.errors import ImageError

Opened = JpegImageFile | PngImageFile

FORMATS: dict[bytes, type[JpegImageFile] | type[PngImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
}

UPRIGHT = {  # how to turn a picture with each EXIF orientation; any other value means upright
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

_QUIET = threading.Lock()


def open_header(name: str, content: bytes) -> Opened:
    """Pillow's image of the JPEG or PNG in `content`, not yet decoded; ImageError, with `name`, if it is neither.

    For a file with several pictures (MPO, APNG) this is the first, which viewers show.
    """
    format_ = next((found for signature, found in FORMATS.items() if content.startswith(signature)), None)
    if format_ is None:
        raise ImageError(name, "is not a JPEG or PNG image")
    try:
        with quiet():
            image = format_(io.BytesIO(content))
    except Exception as error:  # noqa: BLE001 - Pillow has no one exception for a header that it cannot read
        if str(error).startswith("cannot handle"):  # such as 12-bit layers
            raise ImageError(name, f"is a JPEG of a kind that is not read ({error})") from None
        raise ImageError(name, "is damaged: its header cannot be read") from None
    if not image.tile:
        raise ImageError(name, "is cut off: none of its pixels is there")
    if image.mode == "P" and image.palette is None:
        raise ImageError(name, "is damaged: it has no palette")
    return image


def orientation(image: Opened) -> Transpose | None:
    """The turn that makes the picture upright, by its EXIF or else XMP; None if it is upright, or nothing can be read.

    In a PNG this may come after the pixels: decode it first.
    """
    if not {"exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp"} & image.info.keys():
        return None
    try:
        with quiet():
            return UPRIGHT.get(image.getexif().get(Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - Pillow has no one exception for a broken EXIF block; viewers then do not turn
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Drop Pillow's warnings about odd headers, in one thread at a time because Python's filters are global."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
