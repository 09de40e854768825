"""A photograph that is not whole is refused however its file ends, and one that is whole is taken however it ends."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import TRUE_COLOUR, chunk, png, saved, skin
from PIL import Image

from dermascreen.core.errors import ImageError
from dermascreen.data.photographs.jpeg import read_layout
from dermascreen.data.photographs.photograph import open_photograph

END = b"\xff\xd9"
PICTURE = skin(0, 224, 160)
BLACK_BELOW = PICTURE.copy()
BLACK_BELOW.paste((0, 0, 0), (0, 60, 224, 160))

SEQUENTIAL = {
    "camera": saved(PICTURE, quality=90),
    "fine": saved(PICTURE, quality=100, subsampling="4:4:4"),
    "optimised": saved(PICTURE, quality=60, optimize=True),
    "restarts": saved(PICTURE, quality=85, restart_marker_rows=1),
    "many restarts": saved(PICTURE, quality=85, restart_marker_blocks=2),
    "grey": saved(PICTURE.convert("L"), quality=85),
    "inks": saved(PICTURE.convert("CMYK"), quality=85),
    "OpenCV": cv2.imencode(".jpg", np.asarray(PICTURE), [cv2.IMWRITE_JPEG_RST_INTERVAL, 3])[1].tobytes(),
}
PROGRESSIVE = {
    "progressive": saved(PICTURE, quality=85, progressive=True),
    "progressive with restarts": saved(PICTURE, quality=85, progressive=True, restart_marker_rows=1),
    "progressive grey": saved(PICTURE.convert("L"), quality=85, progressive=True),
}


def segments(header: bytes, marker: int) -> bytes:
    """All segments of one kind in a JPEG's header."""
    found, at = b"", 2
    while at < len(header):
        size = 2 + int.from_bytes(header[at + 2 : at + 4])
        found += header[at : at + size] if header[at + 1] == marker else b""
        at += size
    return found


def one_by_one(image: Image.Image) -> bytes:
    """A sequential JPEG with a scan for each of its three components, each with tables of its own."""
    parts = []
    for number, plane in enumerate(image.convert("YCbCr").split()):
        content = saved(plane, quality=90, optimize=True)
        scan = read_layout(content).scans[0]
        header, data = content[: scan.start], content[scan.start : scan.end]
        parts += [segments(header, 0xC4), segments(header, 0xDA)[:5] + bytes([number + 1]) + b"\0\0\x3f\0", data]
    frame = segments(header, 0xC0)[4:9] + b"\3" + b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    frame = b"\xff\xc0" + (len(frame) + 2).to_bytes(2) + frame
    return b"".join([b"\xff\xd8", segments(header, 0xE0), segments(header, 0xDB), frame, *parts, END])


SEPARATE = {
    "component by component": one_by_one(PICTURE),
    "grey, component by component": one_by_one(skin(0, 600, 500).convert("L").convert("RGB")),
}
SMALL = {
    "one pixel": saved(Image.new("RGB", (1, 1), "red")),
    "one block": saved(skin(1, 8, 8), quality=100),
    "narrow": saved(skin(2, 3, 200)),
}
FLAT = {  # whose data are zeros for long
    "white": saved(Image.new("RGB", (500, 400), "white"), optimize=True),
    "black below": saved(BLACK_BELOW, optimize=True),
    "black below, progressive": saved(BLACK_BELOW, progressive=True),
}
WHOLE = SEQUENTIAL | PROGRESSIVE | SEPARATE | SMALL | FLAT
ENDINGS = {
    "as written": lambda content: content,
    "without an end marker": lambda content: content.removesuffix(END),
    "padded with zeros": lambda content: content + bytes(5000),
    "with a video behind it": lambda content: content + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40,
    "with another picture behind it": lambda content: content + SEQUENTIAL["camera"],
    "with padding before the end marker": lambda content: content.removesuffix(END) + b"\xff" * 9 + END,
}


def pillows(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_is_taken_however_it_ends(name, ending) -> None:
    content = ENDINGS[ending](WHOLE[name])
    np.testing.assert_array_equal(np.asarray(open_photograph("a.jpg", content)), pillows(WHOLE[name]))


NOISE = np.random.default_rng(5).bytes(200_000)
STAND_INS = {  # for the last part of a file, of so many bytes
    "nothing": lambda _: b"",
    "an end marker": lambda _: END,
    "zeros": bytes,
    "zeros and an end marker": lambda size: bytes(size) + END,
    "ones": lambda size: b"\xff" * size,
    "ones and an end marker": lambda size: b"\xff" * size + END,
    "chance": lambda size: NOISE[:size],
    "chance and an end marker": lambda size: NOISE[:size] + END,
    "restart markers": lambda _: b"".join(bytes([0xFF, 0xD0 + number]) for number in range(8)) + END,
    "the file from its beginning": lambda size: SEQUENTIAL["camera"][:size],
}


def start(content: bytes) -> int:
    """Where the first scan's data begin."""
    return re.search(rb"\xff\xda..(?s:.){4,10}?\x00[\x00?]\x00|\xff\xda\x00.(?s:.){6,10}", content).end()


@pytest.mark.parametrize("stand_in", STAND_INS)
@pytest.mark.parametrize("name", SEQUENTIAL | PROGRESSIVE)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_is_cut_off_is_refused_however_it_ends(name, stand_in, share) -> None:
    content = (SEQUENTIAL | PROGRESSIVE)[name]
    at = start(content) + int(share * (len(content) - start(content)))
    with pytest.raises(ImageError, match=r"^a\.jpg is cut off: .* missing; take it out"):
        open_photograph("a.jpg", content[:at] + STAND_INS[stand_in](len(content) - at))


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_the_error_says_how_much_is_missing(name) -> None:
    content = SEQUENTIAL[name]
    at = start(content) + (len(content) - start(content)) // 2
    with Image.open(io.BytesIO(content[:at] + END)) as image:  # whose missing pixels libjpeg has made grey
        rows = np.asarray(image.convert("RGB")).astype(int) - pillows(content)
    missing = 1 - np.flatnonzero(np.abs(rows).max(axis=(1, 2)))[0] / 160
    with pytest.raises(ImageError) as error:
        open_photograph("a.jpg", content[:at] + END)
    said = int(re.search(r"is cut off: (\d+)% of its rows are missing", str(error.value))[1]) / 100
    assert abs(said - missing) <= 0.015


@given(st.sampled_from(sorted(SEQUENTIAL)), st.integers(3, 400), st.booleans())
def test_a_cut_near_the_end_is_refused_or_shows_all_but_a_block_or_two(name, missing, marked) -> None:
    content = SEQUENTIAL[name]
    cut = content[: -len(END) - missing] + (END if marked else b"")
    try:
        picture = np.asarray(open_photograph("a.jpg", cut)).astype(int)
    except ImageError:
        return
    assert marked  # without an end marker nothing at all may be missing
    different = np.abs(picture - pillows(content)).max(axis=-1) > 0
    assert different.sum() <= 2 * 18 * 18  # pixels: colours of two blocks reach one pixel beyond them


@pytest.mark.parametrize("ending", [b"", END])
def test_a_file_without_one_of_its_components_is_refused(ending) -> None:
    content = SEPARATE["component by component"]
    for scan in read_layout(content).scans[:2]:
        with pytest.raises(ImageError, match=r"^a\.jpg is cut off: the last of its scans are missing; "):
            open_photograph("a.jpg", content[: scan.end] + ending)


def scans(content: bytes) -> list[int]:
    """Where each scan of a progressive file begins, with the tables before it."""
    return [found.start() for found in re.finditer(rb"\xff\xc4(?s:.)(?s:.)(?s:.)|\xff\xda\x00\x08\x01", content)]


def test_a_progressive_file_cut_between_scans_is_refused() -> None:
    content = PROGRESSIVE["progressive"]
    for at in scans(content)[2:]:
        with pytest.raises(ImageError, match=r"^a\.jpg is cut off: "):
            open_photograph("a.jpg", content[:at] + END)


def test_a_file_of_countless_scans_is_refused() -> None:
    content = PROGRESSIVE["progressive grey"].removesuffix(END)
    last = content[content.rindex(b"\xff\xda") :]
    with pytest.raises(ImageError, match=r"^a\.jpg has 1\d\d\d scans, where at most 100 can be read; "):
        open_photograph("a.jpg", content + 1000 * last + END)


def with_frame(content: bytes, marker: int) -> bytes:
    return content.replace(b"\xff\xc0", bytes([0xFF, marker]), 1)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA])
def test_a_jpeg_that_viewers_do_not_show_is_refused_by_name(marker) -> None:
    with pytest.raises(ImageError, match=r"^a\.jpg is a lossless, hierarchical or arithmetic-coded JPEG"):
        open_photograph("a.jpg", with_frame(SEQUENTIAL["camera"], marker))


def test_12_bits_a_sample_are_refused_by_name() -> None:
    content = SEQUENTIAL["camera"]
    at = content.index(b"\xff\xc0") + 4
    with pytest.raises(
        ImageError, match=r"^a\.jpg is a JPEG of a kind that is not read \(cannot handle 12-bit layers\)"
    ):
        open_photograph("a.jpg", content[:at] + b"\x0c" + content[at + 1 :])


def test_a_header_without_pixels_is_cut_off() -> None:
    content = SEQUENTIAL["camera"]
    with pytest.raises(ImageError, match=r"^a\.jpg is "):
        open_photograph("a.jpg", content[: start(content) - 4])


# The first row and column, and the steps, of each of an interlaced PNG's passes.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
LOSSLESS = png(np.asarray(PICTURE), TRUE_COLOUR)


def idat(content: bytes) -> tuple[int, int]:
    """Where the data of a PNG's pixels begin, and how many there are."""
    at = content.index(b"IDAT")
    return at + 4, int.from_bytes(content[at - 4 : at])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_png_that_is_cut_off_is_refused(share) -> None:
    begin, size = idat(LOSSLESS)
    half = LOSSLESS[begin : begin + int(share * size)]
    fitted = LOSSLESS[: begin - 8] + chunk(b"IDAT", half) + chunk(b"IEND", b"")
    for cut in (LOSSLESS[: begin + len(half)], fitted, LOSSLESS[: begin - 8] + chunk(b"IDAT", half)):
        with pytest.raises(ImageError, match=r"^a\.png is cut off: .* missing; "):
            open_photograph("a.png", cut)
    rows = 160 - len(zlib.decompressobj().decompress(half)) // (1 + 3 * 224)
    with pytest.raises(ImageError, match=rf"^a\.png is cut off: {rows / 160:.0%} of its rows are missing; "):
        open_photograph("a.png", fitted)
    for filling in (bytes(len(LOSSLESS)), NOISE):
        filled = (LOSSLESS[: begin + len(half)] + filling)[: len(LOSSLESS)]
        with pytest.raises(ImageError, match=r"^a\.png is damaged or cut off: the checksum of its pixels is wrong; "):
            open_photograph("a.png", filled)


@pytest.mark.parametrize("kept", [0, 4, 8])  # of the checksum of the pixels and the end
def test_a_png_with_all_its_pixels_is_taken_without_its_end(kept) -> None:
    begin, size = idat(LOSSLESS)
    picture = open_photograph("a.png", LOSSLESS[: begin + size + kept])
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(PICTURE))


def test_pngs_in_many_chunks_and_with_data_behind_are_whole() -> None:
    begin, size = idat(LOSSLESS)
    data = LOSSLESS[begin : begin + size]
    parts = [chunk(b"IDAT", data[at : at + 999]) for at in range(0, size, 999)]
    content = LOSSLESS[: begin - 8] + b"".join([*parts, chunk(b"IDAT", b""), chunk(b"IEND", b""), NOISE])
    np.testing.assert_array_equal(np.asarray(open_photograph("a.png", content)), np.asarray(PICTURE))


def test_the_first_picture_of_an_animation_is_shown() -> None:
    file = io.BytesIO()
    PICTURE.save(file, "PNG", save_all=True, append_images=[skin(1, 224, 160)])
    np.testing.assert_array_equal(np.asarray(open_photograph("a.png", file.getvalue())), np.asarray(PICTURE))


def test_interlaced_pngs_are_taken_or_cut_off() -> None:
    pixels, rows = np.asarray(PICTURE), []
    for y, x, down, right in ADAM7:
        rows += [b"\0" + row.tobytes() for row in pixels[y::down, x::right]]
    header = struct.pack(">IIBBBBB", 224, 160, 8, TRUE_COLOUR, 0, 0, 1)
    for share, taken in ((1.0, True), (0.5, False)):
        data = zlib.compress(b"".join(rows[: int(share * len(rows))]))
        content = LOSSLESS[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
        if taken:
            np.testing.assert_array_equal(np.asarray(open_photograph("a.png", content)), pixels)
        else:
            with pytest.raises(ImageError, match=r"^a\.png is cut off: .* missing; "):
                open_photograph("a.png", content)


def test_a_png_whose_data_end_well_but_early_is_cut_off() -> None:
    with pytest.raises(ImageError, match=r"^a\.png is cut off: 50% of its rows are missing; "):
        open_photograph("a.png", LOSSLESS[:8] + LOSSLESS[8:33] + png(np.asarray(PICTURE)[:80], TRUE_COLOUR)[33:])


@pytest.mark.parametrize(("colour", "bits", "channels"), [(0, 1, 1), (0, 2, 1), (0, 4, 1), (4, 8, 2), (6, 16, 4)])
def test_every_depth_is_whole_with_as_many_bytes_as_its_rows_have(colour, bits, channels) -> None:
    samples = np.random.default_rng(0).integers(0, 2**bits, (5, 7, channels))
    whole, cut = png(samples, colour, bits), png(samples[:4], colour, bits)
    assert open_photograph("a.png", whole).size == (7, 5)
    with pytest.raises(ImageError, match=r"^a\.png is cut off: 20% of its rows are missing; "):
        open_photograph("a.png", whole[:33] + cut[33:])


def test_a_png_without_pixels_or_without_its_palette_is_refused() -> None:
    begin = LOSSLESS.index(b"IDAT") - 4
    with pytest.raises(ImageError, match=r"is cut off: none of its pixels is there"):
        open_photograph("a.png", LOSSLESS[:begin] + chunk(b"IEND", b""))
    whole = saved(PICTURE.convert("P"), "PNG")
    at = whole.index(b"PLTE") - 4
    length = int.from_bytes(whole[at : at + 4]) + 12
    open_photograph("a.png", whole)
    with pytest.raises(ImageError, match=r"is damaged: it has no palette"):
        open_photograph("a.png", whole[:at] + whole[at + length :])
