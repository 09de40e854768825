"""A JPEG's pixels, if its file holds all of them, which is decided by what is decoded, not by how the file ends.

Where coded data are missing, libjpeg draws grey and continues; it warns, but Pillow does not pass the warning on. So
the decoder is given the data that exist, followed by a little that is not image data:

- The data of a file with one scan, as cameras write it, are decoded with eight bytes of ones after them and no end
  marker. If the decoder has all blocks, it finishes; otherwise it needs more than those bytes, and Pillow raises an
  error. As ones are not a code, they complete at most two blocks of 8 x 8 pixels: that much may be missing undetected.
- A file with several scans, such as a progressive one, is decoded with and without arbitrary data after each scan; they
  change no pixel if the scan is complete. Its scans must also contain every bit of every coefficient.

What follows the picture does not matter, nor does a missing end marker. A file whose missing part was replaced by data
that decode, up to an end marker, cannot be told from a photograph; a long run of zeros is detected.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from dermascreen.core.errors import ImageError
from dermascreen.data.photographs.header import quiet

SOI, EOI, SOS, DRI = 0xD8, 0xD9, 0xDA, 0xDD
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the markers of a frame; the other three are of tables
PROGRESSIVE = 0xC2
SHOWN = {0xC0, 0xC1, PROGRESSIVE}  # by image viewers; the other frames are lossless, hierarchical or arithmetic-coded
RST, RESTARTS = 0xD0, 8  # the first restart marker, and how many there are, used in turn
ALONE = {0x01, *range(RST, RST + RESTARTS)}  # markers without a segment
MARKER = re.compile(rb"\xff([^\x00\xff])")
RESTART = re.compile(rb"\xff[\xd0-\xd7]")

COEFFICIENTS = 64  # of a block
BITS = 16  # of a coefficient that is in no scan yet

END = b"\xff\xd9"
ONES = b"\xff\x00" * 8  # as much as the decoder reads ahead; the zeros tell 0xFF from a marker
NOISE = b"\xfe" + np.random.default_rng(0).integers(1, 255, 2048, dtype=np.uint8).tobytes()  # begins unlike zeros
FILLED = 64  # this many zeros at the end of the data may stand for what was never written
SURPLUS = 128  # bytes at the end of the data, without which the picture is incomplete if all data belong to it

MOST_SCANS = 100  # ten times as many as programs write; each takes a pass over the whole picture

CUT_OFF = "is cut off: a part of its pixels is missing"


class Scan(NamedTuple):
    """A scan's share of the picture, and the place of its coded data."""

    components: bytes
    first: int  # coefficient
    last: int
    bits_left: int  # of each of these coefficients, for later scans
    start: int
    end: int  # the place of the next marker, or the end of the file
    marked: bool  # the former


class Layout(NamedTuple):
    """The markers and segments of a JPEG that tell whether it is complete."""

    frame: int  # its marker; 0 if there is none
    components: bytes
    scans: tuple[Scan, ...]

    @property
    def at_once(self) -> bool:
        """Whether one scan holds the whole picture, so that it can be decoded row by row."""
        return self.frame != PROGRESSIVE and bool(self.scans) and len(self.scans[0].components) == len(self.components)


def read_layout(content: bytes) -> Layout:
    """Find the markers of the first picture in `content` as libjpeg does, as far as there are any."""
    frame, components, scans, restarts, at = 0, b"", list[Scan](), False, len(END)
    while found := MARKER.search(content, at):
        marker, at = found[1][0], found.end()
        if marker in {SOI, EOI}:
            break
        if marker in ALONE:
            continue
        end = at + max(2, int.from_bytes(content[at : at + 2]))
        segment, at = content[at + 2 : end], end
        if marker in FRAMES and not scans:
            frame, components = marker, segment[6::3]
        elif marker == DRI:
            restarts = any(segment)
        elif marker == SOS and segment and len(segment) >= 2 * segment[0] + 4:
            number = segment[0]
            first, last, bits = segment[2 * number + 1 : 2 * number + 4]
            if frame != PROGRESSIVE:
                first, last, bits = 0, COEFFICIENTS - 1, 0
            end = _end_of_data(content, at, restarts)
            marked = end < len(content)
            scans.append(Scan(segment[1 : 2 * number : 2], first, last, bits & 15, at, end, marked))
            at = end
    return Layout(frame, components, tuple(scans))


def _end_of_data(content: bytes, start: int, restarts: bool) -> int:
    """The place of the next marker, or the end of the file; restart markers in turn, with data between, are skipped."""
    number = 0
    while found := MARKER.search(content, start):
        in_turn = found[1][0] == RST + number % RESTARTS and found.start() > start
        if not (restarts and in_turn):
            return found.start()
        number, start = number + 1, found.end()
    return len(content)


def decode(name: str, image: JpegImageFile, content: bytes, layout: Layout, scale: int = 1) -> None:
    """Decode `image`, opened from `content`, with its sides divided by `scale` (1, 2, 4 or 8).

    Raises ImageError, with `name`, if it is not complete.
    """
    if layout.frame not in SHOWN:
        raise ImageError(name, "is a lossless, hierarchical or arithmetic-coded JPEG, which viewers do not show")
    if not layout.scans:
        raise ImageError(name, "is cut off: none of its pixels is there")
    if len(layout.scans) > MOST_SCANS:
        raise ImageError(name, f"has {len(layout.scans)} scans, where at most {MOST_SCANS} can be read")
    problem = (_decode_at_once if layout.at_once else _decode_scans)(image, content, layout, scale)
    if problem:
        raise ImageError(name, problem)


def _decode_at_once(image: JpegImageFile, content: bytes, layout: Layout, scale: int) -> str | None:
    scan = layout.scans[0]

    def holds_all(end: int) -> bool:
        return _say_what_lacks(content, scan._replace(end=end), scale) is None

    if not _load(image, content[: scan.end] + ONES, scale) or _has_stand_in(content, scan, holds_all):
        return _say_what_lacks(content, _without_filling(content, scan), scale) or CUT_OFF
    return None if scan.marked else _say_what_lacks(content, scan, scale)


def _decode_scans(image: JpegImageFile, content: bytes, layout: Layout, scale: int) -> str | None:
    scans, last = layout.scans, layout.scans[-1]

    def holds_all(end: int) -> bool:
        noisy = _decoded(_with_noise(content, [*scans[:-1], last._replace(end=end)]), scale)
        return noisy is not None and _first_difference(image, noisy) is None

    if _bits_left(layout):
        return "is cut off: the last of its scans are missing"
    if not _load(image, content[: last.end] + END, scale):
        return "does not decode as an image"
    if not holds_all(last.end):
        return CUT_OFF
    # A complete scan of a component that is the same everywhere may contribute nothing.
    return CUT_OFF if layout.frame == PROGRESSIVE and _has_stand_in(content, last, holds_all) else None


def _has_stand_in(content: bytes, scan: Scan, holds_all: Callable[[int], bool]) -> bool:
    """Whether a scan's data, which decode, are partly a stand-in: the picture is complete without the last of them.

    Tested only for data that end without a marker or in zeros, because a complete picture may be followed by other
    bytes, and not for short intervals between restart markers. `holds_all` tells whether the picture is complete if the
    data end at a place.
    """
    own = _without_filling(content, scan)
    if (scan.marked and own == scan) or (own != scan and holds_all(own.end)):
        return False
    short = scan.end - scan.start <= SURPLUS or RESTART.search(content, scan.end - SURPLUS, scan.end)
    return not short and holds_all(scan.end - SURPLUS)


def _say_what_lacks(content: bytes, scan: Scan, scale: int) -> str | None:
    """How much of a picture in one scan is missing, if anything: the rows that change with what follows the data."""
    grey, noisy = _decoded(content[: scan.end] + END, scale), _decoded(_with_noise(content, [scan]), scale)
    if grey is None or noisy is None:
        return "does not decode as an image"
    row = _first_difference(grey, noisy)
    return None if row is None else f"is cut off: {(grey.height - row) / grey.height:.0%} of its rows are missing"


def _without_filling(content: bytes, scan: Scan) -> Scan:
    """`scan` without the zeros at the end of its data, if there are many."""
    end = scan.start + len(content[scan.start : scan.end].rstrip(b"\0"))
    return scan._replace(end=end) if scan.end - end >= FILLED else scan


def _bits_left(layout: Layout) -> bool:
    """Whether any bit of a coefficient is in none of the scans."""
    left = {component: [BITS] * COEFFICIENTS for component in layout.components}
    for scan in layout.scans:
        for component in left.keys() & set(scan.components):
            left[component][scan.first : scan.last + 1] = [scan.bits_left] * (scan.last + 1 - scan.first)
    return any(any(bits) for bits in left.values())


def _with_noise(content: bytes, scans: Sequence[Scan]) -> bytes:
    """A file with arbitrary data after the data of each scan, and with the restart markers that would come next."""
    parts, at = [], 0
    for scan in scans:
        markers = RESTART.findall(content, scan.start, scan.end)
        following = markers[-1][1] - RST + 1 if markers else 0
        restarts = [bytes([0xFF, RST + (following + turn) % RESTARTS]) for turn in range(RESTARTS)]
        guard = b"\0" if content[scan.start : scan.end].endswith(b"\xff") else b""  # or NOISE would make it a marker
        parts += [content[at : scan.end], guard, NOISE, *(marker + NOISE for marker in restarts)]
        at = scan.end
    return b"".join([*parts, END])


def _first_difference(one: Image.Image, other: Image.Image) -> int | None:
    """The first row in which two pictures of one size differ; None if they are equal."""
    box = ImageChops.difference(one, other).getbbox()
    return box[1] if box else None


def _decoded(content: bytes, scale: int) -> JpegImageFile | None:
    try:
        with quiet():
            image = JpegImageFile(io.BytesIO(content))
    except Exception:  # noqa: BLE001 - Pillow has no one exception for bytes that are no JPEG, as these may now be
        return None
    return image if _load(image, content, scale) else None


def _load(image: JpegImageFile, content: bytes, scale: int) -> bool:
    """Decode `image` from `content` instead of the file that it was opened from; return whether that succeeded."""
    image.fp = io.BytesIO(content)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))
    try:
        image.load()
    except (OSError, ValueError):
        return False
    return True
