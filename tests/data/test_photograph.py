"""One place turns a file into the picture that a viewer shows: compared with what is computed here from the samples."""

import io
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import (
    ADOBE_RGB,
    GREY,
    GREY_ALPHA,
    INDEXED,
    SRGB,
    TRUE_COLOUR,
    TRUE_COLOUR_ALPHA,
    cmyk_profile,
    encoded,
    fixed,
    grey_profile,
    icc,
    in_srgb,
    png,
    rgb_profile,
    saved,
    skin,
)
from PIL import Image, ImageCms, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from programs import find_program

from dermascreen.core.errors import ImageError
from dermascreen.data.cues import file_cues
from dermascreen.data.photographs import photograph
from dermascreen.data.photographs.photograph import open_photograph, read_photograph, show

ROOT = Path(__file__).parents[2]

PIXELS = np.asarray(skin())
GREYS = np.asarray(skin().convert("L"))
OPACITY = np.full(GREYS.shape, 255)
OPACITY[:5], OPACITY[5:10] = 0, 100
PALETTE = PIXELS.reshape(-1, 3)[:16]
INDICES = np.arange(GREYS.size).reshape(GREYS.shape) % 16
DEEP_KEY = PIXELS[0, 0].astype(int) * 257  # no other pixel has it, but some have its high bytes
NEAR_KEY = PIXELS.astype(int) * 257
NEAR_KEY[0, 1] = DEEP_KEY + 1


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1)


def on_white(colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    share = (opacity / 255)[..., None]
    return colours * share + 255 * (1 - share)


def clear(colours: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], 255, colours)


def shown(content: bytes) -> np.ndarray:
    image = open_photograph("a.png", content)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def decoded(content: bytes, mode: str | None = None) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert(mode) if mode else image)


KINDS = {
    "1 bit": (png(GREYS > 128, GREY, 1), grey(255 * (GREYS > 128))),
    "2 bits": (png(GREYS // 64, GREY, 2), grey(GREYS // 64 * 85)),
    "4 bits": (png(GREYS // 16, GREY, 4), grey(GREYS // 16 * 17)),
    "grey": (png(GREYS, GREY), grey(GREYS)),
    "16-bit grey": (png(GREYS.astype(int) * 257, GREY, 16), grey(GREYS)),
    "16-bit grey between levels": (png(GREYS.astype(int) * 257 - 120, GREY, 16), grey(GREYS - 120 / 257)),
    "colours": (png(PIXELS, TRUE_COLOUR), PIXELS),
    "16-bit colours": (png(PIXELS.astype(int) * 257 + 100, TRUE_COLOUR, 16), PIXELS + 100 / 257),
    "palette": (png(INDICES, INDEXED, before={b"PLTE": PALETTE.tobytes()}), PALETTE[INDICES]),
    "palette of 4 bits": (png(INDICES, INDEXED, 4, before={b"PLTE": PALETTE.tobytes()}), PALETTE[INDICES]),
    "grey, transparent": (png(np.dstack([GREYS, OPACITY]), GREY_ALPHA), on_white(grey(GREYS), OPACITY)),
    "16-bit grey, transparent": (
        png(np.dstack([GREYS, OPACITY]) * 257, GREY_ALPHA, 16), on_white(grey(GREYS), OPACITY),
    ),
    "colours, transparent": (png(np.dstack([PIXELS, OPACITY]), TRUE_COLOUR_ALPHA), on_white(PIXELS, OPACITY)),
    "16-bit colours, transparent": (
        png(np.dstack([PIXELS, OPACITY]) * 257, TRUE_COLOUR_ALPHA, 16), on_white(PIXELS, OPACITY),
    ),
    "palette with one transparent colour": (
        png(INDICES, INDEXED, before={b"PLTE": PALETTE.tobytes(), b"tRNS": b"\xff\xff\x00"}),
        clear(PALETTE[INDICES], INDICES == 2),
    ),
    "palette with opacities": (
        png(INDICES, INDEXED, before={b"PLTE": PALETTE.tobytes(), b"tRNS": bytes([0, 50, 100])}),
        on_white(PALETTE[INDICES], np.array([0, 50, 100, *[255] * 13])[INDICES]),
    ),
    "1 bit, black transparent": (png(GREYS > 128, GREY, 1, before={b"tRNS": b"\0\0"}), np.full(PIXELS.shape, 255)),
    "2 bits, one transparent": (
        png(GREYS // 64, GREY, 2, before={b"tRNS": b"\0\2"}), clear(grey(GREYS // 64 * 85), GREYS // 64 == 2),
    ),
    "grey, one transparent": (
        png(GREYS, GREY, before={b"tRNS": bytes([0, GREYS[0, 0]])}), clear(grey(GREYS), GREYS[0, 0] == GREYS),
    ),
    "16-bit grey, one transparent": (
        png(NEAR_KEY[..., 0], GREY, 16, before={b"tRNS": DEEP_KEY[:1].astype(">u2").tobytes()}),
        clear(grey(NEAR_KEY[..., 0] / 257), NEAR_KEY[..., 0] == DEEP_KEY[0]),
    ),
    "colours, one transparent": (
        png(PIXELS, TRUE_COLOUR, before={b"tRNS": PIXELS[0, 0].astype(">u2").tobytes()}),
        clear(PIXELS, (PIXELS[0, 0] == PIXELS).all(axis=-1)),
    ),
    "16-bit colours, one transparent": (
        png(NEAR_KEY, TRUE_COLOUR, 16, before={b"tRNS": DEEP_KEY.astype(">u2").tobytes()}),
        clear(NEAR_KEY / 257, (NEAR_KEY == DEEP_KEY).all(axis=-1)),
    ),
    "gamma 1": (png(PIXELS, TRUE_COLOUR, before={b"gAMA": fixed(1)}), 255 * (PIXELS / 255) ** (1 / 2.2)),
    "gamma 1, 16-bit": (
        png(PIXELS.astype(int) * 257, TRUE_COLOUR, 16, before={b"gAMA": fixed(1)}), 255 * (PIXELS / 255) ** (1 / 2.2),
    ),
    "gamma 1, 16-bit grey": (
        png(GREYS.astype(int) * 257, GREY, 16, before={b"gAMA": fixed(1)}), grey(255 * (GREYS / 255) ** (1 / 2.2)),
    ),
    "gamma 1, palette": (
        png(INDICES, INDEXED, before={b"gAMA": fixed(1), b"PLTE": PALETTE.tobytes()}),
        255 * (PALETTE[INDICES] / 255) ** (1 / 2.2),
    ),
    "gamma 1, transparent": (
        png(np.dstack([PIXELS, OPACITY]), TRUE_COLOUR_ALPHA, before={b"gAMA": fixed(1)}),
        on_white(255 * (PIXELS / 255) ** (1 / 2.2), OPACITY),
    ),
    "gamma of sRGB": (png(PIXELS, TRUE_COLOUR, before={b"gAMA": fixed(0.45455)}), PIXELS),
    "gamma of nothing": (png(PIXELS, TRUE_COLOUR, before={b"gAMA": fixed(0)}), PIXELS),
    "gamma and primaries of sRGB": (
        png(PIXELS, TRUE_COLOUR, before={b"gAMA": fixed(0.45455), b"cHRM": fixed(*SRGB)}), PIXELS,
    ),
    "sRGB before gamma": (png(PIXELS, TRUE_COLOUR, before={b"sRGB": b"\0", b"gAMA": fixed(1)}), PIXELS),
    "primaries of Adobe RGB": (
        png(PIXELS, TRUE_COLOUR, before={b"gAMA": fixed(1 / 2.2), b"cHRM": fixed(*ADOBE_RGB)}),
        in_srgb(PIXELS / 255, ADOBE_RGB, 2.2),
    ),
    "primaries of Adobe RGB, 16-bit": (
        png(PIXELS.astype(int) * 257, TRUE_COLOUR, 16, before={b"gAMA": fixed(1 / 2.2), b"cHRM": fixed(*ADOBE_RGB)}),
        in_srgb(PIXELS / 255, ADOBE_RGB, 2.2),
    ),
    "grey with primaries": (
        png(GREYS, GREY, before={b"gAMA": fixed(1 / 2.2), b"cHRM": fixed(*ADOBE_RGB)}),
        grey(encoded((GREYS / 255) ** 2.2)),
    ),
    "primaries of no colours": (png(PIXELS, TRUE_COLOUR, before={b"cHRM": fixed(*[0] * 8)}), PIXELS),
    "cICP of sRGB before gamma": (
        png(PIXELS, TRUE_COLOUR, before={b"cICP": bytes([1, 13, 0, 1]), b"gAMA": fixed(1)}), PIXELS,
    ),
    "profile of Adobe RGB": (
        saved(skin(), "PNG", icc_profile=rgb_profile(ADOBE_RGB, 2.2)), in_srgb(PIXELS / 255, ADOBE_RGB, 2.2),
    ),
    "profile of grey": (
        saved(skin().convert("L"), "PNG", icc_profile=grey_profile(1.8)), grey(encoded((GREYS / 255) ** 1.8)),
    ),
    "profile of RGB for grey": (
        saved(skin().convert("L"), "PNG", icc_profile=rgb_profile(SRGB, 1.8)), grey(encoded((GREYS / 255) ** 1.8)),
    ),
    "profile of grey for colours": (saved(skin(), "PNG", icc_profile=grey_profile(1.8)), PIXELS),
    "profile of sRGB": (
        saved(skin(), "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()), PIXELS,
    ),
    "profile of a link": (
        saved(skin(), "PNG", icc_profile=icc(b"RGB ", {}, class_=b"link")), PIXELS,
    ),
    "profile that is none": (saved(skin(), "PNG", icc_profile=b"p" * 200), PIXELS),
    "half a profile": (saved(skin(), "PNG", icc_profile=rgb_profile(ADOBE_RGB, 2.2)[:170]), PIXELS),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_shown_as_a_viewer_does(kind) -> None:
    content, expected = KINDS[kind]
    got = show("a.png", content)
    assert np.abs(shown(content) - expected).max() <= 1
    assert got.warnings == (
        ("It has transparency, which was laid on white.",) if "transparent" in kind or "opac" in kind else ()
    )
    assert not got.image.info
    assert got.image.getexif() == {}


def test_what_is_shown_in_no_one_way_is_refused() -> None:
    with pytest.raises(ImageError, match=r"^a.png has colours that are not converted \(cICP 9-16-0-1\); "):
        open_photograph("a.png", png(PIXELS, TRUE_COLOUR, before={b"cICP": bytes([9, 16, 0, 1])}))


def test_opaque_pictures_have_no_warning() -> None:
    content = png(np.dstack([PIXELS, np.full_like(OPACITY, 255)]), TRUE_COLOUR_ALPHA)
    assert show("a.png", content).warnings == ()
    np.testing.assert_array_equal(shown(content), PIXELS)


JPEGS = {
    "colours": saved(skin(), quality=90),
    "grey": saved(skin().convert("L"), quality=90),
    "progressive": saved(skin(), quality=90, progressive=True),
    "RGB without YCbCr": saved(skin(), quality=90, keep_rgb=True),
    "CMYK": saved(skin().convert("CMYK"), quality=90),
    "a profile that is none": saved(skin(), icc_profile=b"p" * 200),
    "a profile of sRGB": saved(skin(), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
    "a comment": saved(skin(), comment=b"hello"),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_in_srgb_has_the_pixels_that_pillow_decodes(kind) -> None:
    np.testing.assert_array_equal(shown(JPEGS[kind]), decoded(JPEGS[kind], "RGB"))


def as_ycck(content: bytes) -> bytes:
    """A JPEG in CMYK whose header says that it is in YCCK, by Adobe's segment."""
    at = content.index(b"Adobe") + 11
    return content[:at] + b"\x02" + content[at + 1 :]


def test_ycck_is_adobes_inverted_cmyk_by_way_of_ycbcr() -> None:
    content = saved(skin().convert("CMYK"), quality=100)
    y, cb, cr, k = (255 - decoded(content)).astype(float).transpose(2, 0, 1)  # the samples, which Adobe inverts
    red, green, blue = y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128)
    inks = 255 - np.stack([red, green, blue], axis=-1).clip(0, 255)  # libjpeg's CMYK, inverted in its turn
    expected = (255 - (255 - inks)) / 255 * k[..., None]
    assert np.abs(shown(as_ycck(content)) - expected).max() <= 3


@pytest.mark.parametrize("make", [as_ycck, bytes])
def test_cmyk_is_as_imagemagick_shows_it(tmp_path, make) -> None:
    convert = find_program("magick", "convert-im6.q16")  # other programs are called convert too
    (tmp_path / "a.jpg").write_bytes(content := make(saved(skin().convert("CMYK"), quality=95)))
    subprocess.run([convert, "a.jpg", "-colorspace", "sRGB", "PNG24:a.png"], cwd=tmp_path, check=True)
    assert np.abs(shown(content) - decoded((tmp_path / "a.png").read_bytes())).max() <= 4


def test_a_profile_of_cmyk_is_followed_as_littlecms_does() -> None:
    content, profile = saved(skin().convert("CMYK"), icc_profile=cmyk_profile()), io.BytesIO(cmyk_profile())
    inks = Image.fromarray(decoded(content), "CMYK")
    expected = ImageCms.profileToProfile(inks, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    np.testing.assert_array_equal(shown(content), np.asarray(expected))
    assert np.abs(shown(content) - decoded(content, "RGB")).max() > 50


def test_a_profile_in_a_jpeg_is_followed() -> None:
    content = saved(skin(), quality=95, icc_profile=rgb_profile(ADOBE_RGB, 2.2))
    assert np.abs(shown(content) - in_srgb(decoded(content) / 255, ADOBE_RGB, 2.2)).max() <= 1


def oriented(value: object) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("value", range(1, 9))
def test_pictures_are_shown_upright(value) -> None:
    exif = oriented(value).tobytes()
    samples = np.dstack([PIXELS, OPACITY])
    late = png(samples, TRUE_COLOUR_ALPHA, after={b"eXIf": exif.removeprefix(b"Exif\0\0")})
    for content in (saved(skin(), exif=exif), saved(skin(), "PNG", exif=exif), late):
        with Image.open(io.BytesIO(content)) as image:
            upright = np.asarray(ImageOps.exif_transpose(image))
        got = show("a.jpg", content)
        assert (got.width, got.height) == got.image.size == (upright.shape[1], upright.shape[0])
        if content != late:
            np.testing.assert_array_equal(np.asarray(got.image), upright)
        else:
            assert np.abs(np.asarray(got.image) - on_white(upright[..., :3], upright[..., 3])).max() <= 1


@pytest.mark.parametrize("value", [0, 9, 255, 40_000])
def test_an_orientation_that_is_none_is_upright(value) -> None:
    content = saved(skin(), exif=oriented(value).tobytes())
    np.testing.assert_array_equal(shown(content), decoded(content))


def test_an_orientation_in_xmp_counts_where_exif_has_none() -> None:
    content = saved(skin(), xmp=b'<x tiff:Orientation="6"/>')
    np.testing.assert_array_equal(shown(content), np.rot90(decoded(content), -1))


def test_a_file_gives_what_its_content_does(tmp_path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEGS["colours"])
    np.testing.assert_array_equal(np.asarray(read_photograph(tmp_path / "a.jpg")), shown(JPEGS["colours"]))
    (tmp_path / "b.jpg").write_bytes(b"none")
    with pytest.raises(ImageError, match=r"/b\.jpg is not a JPEG or PNG image; "):
        read_photograph(tmp_path / "b.jpg")


def test_a_phones_photograph_of_108_megapixels_is_halved_in_decoding(monkeypatch) -> None:
    small = skin(0, 1200, 900)
    monkeypatch.setattr(photograph, "MAX_PIXELS", 900_000)
    exif = oriented(6).tobytes()
    got = show("a.jpg", saved(small, quality=95, exif=exif))
    assert (got.width, got.height, got.image.size) == (900, 1200, (450, 600))
    halved = np.asarray(small.reduce(2).transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert np.abs(np.asarray(got.image) - halved).mean() < 3


def with_sides(content: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header says other sides."""
    at = re.search(rb"\xff[\xc0-\xc2]\x00\x11\x08", content).end()
    return content[:at] + height.to_bytes(2) + width.to_bytes(2) + content[at + 4 :]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (with_sides(JPEGS["colours"], 20_000, 15_000), "20000 x 15000 pixels, 300 megapixels, where at most 250"),
        (with_sides(JPEGS["progressive"], 12_000, 9_000), "12000 x 9000 pixels, 108 megapixels, where at most 90"),
        (saved(Image.new("1", (20_000, 20_000)), "PNG"), "20000 x 20000 pixels, 400 megapixels, where at most 90"),
    ],
)
def test_what_would_not_fit_into_memory_is_refused_by_its_header(content, said) -> None:
    with pytest.raises(ImageError, match=rf"^a.jpg is {said} can be read; take it out"):
        open_photograph("a.jpg", content)


def test_a_header_of_108_megapixels_is_not_refused_for_its_size() -> None:
    with pytest.raises(ImageError, match=r"^a.jpg is cut off: 100% of its rows are missing; "):
        open_photograph("a.jpg", with_sides(saved(Image.new("RGB", (16, 16))), 12_000, 9_000))


def test_nothing_else_opens_a_photograph() -> None:
    opens = re.compile(r"Image\.open|imread|ImageFile\(|ImageOps|decode_image|read_image")
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    found = {file.name for file in files if opens.search(file.read_text())}
    assert found == {"jpeg.py", "png.py"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mutated")


def require_picture_or_refusal(place: Path, content: bytes, capfd) -> None:
    """A picture, of which all cues are numbers, or an error that names the file; and nothing printed, no warning."""
    try:
        assert show("a.jpg", content).image.mode == "RGB"
        (place / "a.jpg").write_bytes(content)
        assert np.isfinite(file_cues(place, ["a.jpg"]).to_numpy(float)).all()
    except ImageError as error:
        message = str(error)
    else:
        message = "a.jpg "
    assert message.startswith("a.jpg ")
    assert capfd.readouterr() == ("", "")


RICH = oriented(6)
RICH[0x011A], RICH[0x0128], RICH[0x010F] = 300.0, 2, "maker"
HEADERS = [
    saved(skin(), exif=RICH.tobytes(), icc_profile=rgb_profile(ADOBE_RGB, 2.2), comment=b"c", xmp=b"<x/>", dpi=(9, 9)),
    saved(skin(), "JPEG", progressive=True, icc_profile=bytes(70_000), exif=RICH.tobytes()),
    saved(skin().convert("CMYK"), icc_profile=cmyk_profile()),
    saved(skin(), restart_marker_blocks=2, optimize=True),
]
PNGS = [
    saved(skin(), "PNG", exif=RICH.tobytes(), icc_profile=rgb_profile(ADOBE_RGB, 2.2)),
    png(np.dstack([PIXELS, OPACITY]) * 257, TRUE_COLOUR_ALPHA, 16, {b"gAMA": fixed(1), b"cHRM": fixed(*ADOBE_RGB)}),
    png(INDICES, INDEXED, 4, {b"PLTE": PALETTE.tobytes(), b"tRNS": b"\x05\x06"}),
    png(GREYS, GREY, 8, {b"tRNS": b"\0\5", b"tEXt": b"transparency\0odd", b"zTXt": b"gamma\0\0odd"}),
    png(PIXELS, TRUE_COLOUR, 8, {b"acTL": bytes(8), b"tEXt": b"jfif_density\0odd"}, {b"acTL": bytes(8)}),
]


def spliced(content: bytes, place: float, cut: int, stray: bytes, reach: int) -> bytes:
    """`content` with `cut` bytes at a place among its first `reach` replaced by `stray`."""
    at = 2 + int(place * (min(reach, len(content)) - 2))
    return content[:at] + stray + content[at + cut :]


SPLICES = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 40),
        st.binary(max_size=6)
        | st.sampled_from(
            [b"\xff", b"\xff\xd8", b"\xff\xff\xff", b"\0\0", b"\xff\xfe\0\2", b"\xff\xe2\xff\xff", b"\xff\xdd\0\4\0\1"]
        ),
    ),
    min_size=1,
    max_size=3,
)
FUZZ = settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.sampled_from(HEADERS), SPLICES)
def test_a_jpeg_with_any_header_is_a_picture_or_refused(place, capfd, content, splices) -> None:
    reach = content.index(b"\xff\xda") + 20
    for at, cut, stray in splices:
        content = spliced(content, at, cut, stray, reach)
    require_picture_or_refusal(place, content, capfd)


@FUZZ
@given(st.sampled_from(PNGS), SPLICES)
def test_a_png_with_any_header_is_a_picture_or_refused(place, capfd, content, splices) -> None:
    for at, cut, stray in splices:
        content = spliced(content, at, cut, stray, len(content))
    require_picture_or_refusal(place, content, capfd)


@FUZZ
@given(st.sampled_from([b"exif", b"profile", b"comment"]), st.binary(max_size=80), SPLICES)
def test_any_block_of_metadata_is_a_picture_or_refused(place, capfd, kind, block, splices) -> None:
    exif, profile = RICH.tobytes(), rgb_profile(ADOBE_RGB, 2.2)
    for at, cut, stray in splices:
        exif, profile = spliced(exif, at, cut, stray, len(exif)), spliced(profile, at, cut, stray, len(profile))
    options = {
        b"exif": {"exif": exif + block},
        b"profile": {"icc_profile": profile + block},
        b"comment": {"comment": block},
    }
    for format_ in ("JPEG", "PNG"):
        require_picture_or_refusal(place, saved(skin(), format_, **options[kind]), capfd)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_lack_of_memory_is_not_taken_for_a_damaged_file(monkeypatch, format_) -> None:
    content = saved(skin(), format_)

    def load(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr({"JPEG": JpegImageFile, "PNG": PngImageFile}[format_], "load", load)
    with pytest.raises(ImageError, match=r"^a needs more memory to decode than is free; "):
        open_photograph("a", content)
