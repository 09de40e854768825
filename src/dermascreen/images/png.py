"""A PNG's pixels, if its file holds all of them."""

import io
import zlib
from contextlib import nullcontext

from PIL.PngImagePlugin import PngImageFile

from dermascreen.errors import ImageError
from dermascreen.images.header import quiet

WORD = 4  # bytes of a length, a name and a checksum


def raw_mode(image: PngImageFile) -> str:
    """Pillow's name for how the file stores its pixels, such as RGB;16B; forgotten once they are decoded."""
    return str(image.tile[0].args)


def decode(name: str, image: PngImageFile, content: bytes) -> None:
    """Decode `image`, opened from `content`; ImageError calls it `name` if it is damaged or not whole.

    Nothing that follows the pixels need be there.
    """
    if not _checks(content, image.tile[0].offset):
        raise ImageError(name, "is damaged or cut off: the checksum of its pixels is wrong")
    try:
        _load(image, content)
    except Exception as error:  # noqa: BLE001  # a parser of strangers' bytes: it raises whatever comes
        cut_off = str(error).startswith("image file is truncated")
        raise ImageError(name, "is cut off" if cut_off else "does not decode as an image") from None


def decoded_as(raw: str, content: bytes) -> PngImageFile:
    """The PNG in `content`, which `decode` takes, with its pixels taken for stored in another raw mode."""
    with quiet():
        image = PngImageFile(io.BytesIO(content))
    image.tile = [image.tile[0]._replace(args=raw)]
    _load(image, content)
    return image


def _load(image: PngImageFile, content: bytes) -> None:
    with quiet() if b"acTL" in content else nullcontext():  # Pillow warns of animations that are none
        image.load()


def _checks(content: bytes, start: int) -> bool:
    """Whether the chunks of pixels, the first of which has its data at `start`, have the checksums that they say."""
    at = start - 2 * WORD
    while content[at + WORD : at + 2 * WORD] == b"IDAT":
        end = at + 2 * WORD + int.from_bytes(content[at : at + WORD])
        checksum = content[end : end + WORD]
        if len(checksum) == WORD and zlib.crc32(memoryview(content)[at + WORD : end]) != int.from_bytes(checksum):
            return False
        at = end + WORD
    return True
