"""A PNG's pixels, if its file holds all of them."""

import io
import struct
import zlib
from collections.abc import Iterable
from contextlib import nullcontext

from PIL.PngImagePlugin import PngImageFile

from dermascreen.core.errors import ImageError
from dermascreen.data.photographs.header import quiet

BLOCK = 2**20  # bytes that are held at a time
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# The first row and column, and the steps down and right, of each pass of an interlaced file.
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
CUT_OFF = "is cut off: a part of its pixels is missing"
WORD = 4  # bytes of a length, a name and a checksum


def raw_mode(image: PngImageFile) -> str:
    """Pillow's name for how the file stores its pixels, such as RGB;16B; lost once they are decoded."""
    return str(image.tile[0].args)


def decode(name: str, image: PngImageFile, content: bytes) -> None:
    """Decode `image`, opened from `content`; raises ImageError, with `name`, if it is damaged or incomplete.

    What follows the pixels may be missing.
    """
    if problem := _say_what_lacks(content, image.tile[0].offset):
        raise ImageError(name, problem)
    try:
        _load(image, content)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow has no one exception for pixels that it cannot decode
        cut_off = str(error).startswith("image file is truncated")
        raise ImageError(name, CUT_OFF if cut_off else "does not decode as an image") from None


def decoded_as(raw: str, content: bytes) -> PngImageFile:
    """The PNG in `content`, which `decode` accepts, with its pixels read as another raw mode."""
    with quiet():
        image = PngImageFile(io.BytesIO(content))
    image.tile = [image.tile[0]._replace(args=raw)]
    _load(image, content)
    return image


def _load(image: PngImageFile, content: bytes) -> None:
    with quiet() if b"acTL" in content else nullcontext():  # Pillow warns about invalid animations
        image.load()


def _say_what_lacks(content: bytes, start: int) -> str | None:
    """What is wrong with the chunks of pixels, the first of which has its data at `start`, if anything.

    Checks their checksums, which Pillow does not, and whether they hold as many rows as the header says; Pillow accepts
    fewer if the data end properly.
    """
    data, at = [], start - 2 * WORD
    while content[at + WORD : at + 2 * WORD] == b"IDAT":
        end = at + 2 * WORD + int.from_bytes(content[at : at + WORD])
        checksum = content[end : end + WORD]
        if len(checksum) == WORD and zlib.crc32(memoryview(content)[at + WORD : end]) != int.from_bytes(checksum):
            return "is damaged or cut off: the checksum of its pixels is wrong"
        data.append(memoryview(content)[at + 2 * WORD : end])
        at = end + WORD
    if not data or content[3 * WORD : 4 * WORD] != b"IHDR":
        return None  # left to Pillow
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, 4 * WORD)
    rows = [
        (-(-(height - y) // down), 1 + -(-(-(-(width - x) // right) * bits * CHANNELS[colour]) // 8))
        for y, x, down, right in (ADAM7 if interlaced else [(0, 0, 1, 1)])
        if width > x and height > y
    ]
    needed = sum(number * size for number, size in rows)
    try:
        found = _inflated(data, needed)
    except zlib.error:
        return "does not decode as an image"
    if found >= needed:
        return None
    return CUT_OFF if interlaced else f"is cut off: {1 - found // rows[0][1] / height:.0%} of its rows are missing"


def _inflated(data: Iterable[memoryview], most: int) -> int:
    """The number of bytes that compressed data unpack to, counted up to about `most`."""
    stream, found = zlib.decompressobj(), 0
    for part in data:
        rest: bytes | memoryview = part
        while rest and not stream.eof and found < most:
            found += len(stream.decompress(rest, BLOCK))
            rest = stream.unconsumed_tail
    return found
