"""One photograph's file: opened only where it is what it says, whole, and no larger than a photograph is."""

import io
import struct
import warnings
import zlib
from typing import IO

from PIL import Image, UnidentifiedImageError

from dermascreen.errors import ImageError

MAX_BYTES = 64 * 2**20  # of one file: a photograph for a network of 224 pixels has no use for more


def read_bounded(file: IO[bytes]) -> bytes:
    """The content of a file, or of one that is too large as much as `open_photograph` needs to say so."""
    return file.read(MAX_BYTES + 1)


def open_photograph(name: str, content: bytes) -> Image.Image:
    """The JPEG or PNG in `content`, decoded; ImageError calls it `name` if it is none, is cut off, or is too large.

    Too large is what Pillow warns of as a decompression bomb; its size is read from the header, before any pixel.
    """
    if not content:
        raise ImageError(name, "is empty")
    if len(content) > MAX_BYTES:
        raise ImageError(name, f"is larger than {MAX_BYTES // 2**20} MiB")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(content), formats=["JPEG", "PNG"])
            image.load()
        except UnidentifiedImageError:
            raise ImageError(name, "is not a JPEG or PNG image") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise ImageError(name, "would decode to more pixels than any photograph has") from None
        except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error):
            raise ImageError(name, "does not decode as an image") from None
    return image
