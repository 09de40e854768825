import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import at
from PIL import Image, PngImagePlugin

from dermascreen.artifacts.dataset.images import Images, write_pixels
from dermascreen.data.cues import (
    COLUMNS,
    coarse_jpeg,
    differing,
    file_cues,
    has_exif,
    interventions,
    mean_colour,
    pixel_cues,
    reencode,
    replace_frame,
    strip_metadata,
)
from dermascreen.data.photographs.decode import decode
from dermascreen.data.photographs.photograph import open_photograph
from dermascreen.evidence.frame import frame_mask


def noise(seed: int = 0, width: int = 40, height: int = 24) -> Image.Image:
    """Smooth noise, so that a JPEG has something to lose."""
    small = np.random.default_rng(seed).integers(80, 176, (6, 10, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height))


def saved(image: Image.Image, format_: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def exif(text: str = "a camera") -> Image.Exif:
    block = Image.Exif()
    block[0x0110] = text  # the camera's model
    return block


TABLES = [list(range(1, 65)), [7] * 64]


@pytest.fixture
def headers(tmp_path):
    """A plain JPEG, one that says all that a JPEG can, a grey one and a PNG."""
    (tmp_path / "plain.jpg").write_bytes(saved(noise(), quality=100, subsampling="4:4:4"))
    full = saved(
        noise(), qtables=TABLES, subsampling="4:2:0", progressive=True, dpi=(300, 200),
        exif=exif().tobytes(), icc_profile=b"p" * 100, comment=b"hello", xmp=b"<x/>",
    )  # fmt: skip
    (tmp_path / "full.jpg").write_bytes(full)
    (tmp_path / "grey.jpg").write_bytes(saved(noise().convert("L"), quality=100))
    (tmp_path / "drawn.png").write_bytes(saved(noise(), "PNG", exif=exif().tobytes()))
    return tmp_path


def test_file_cues_are_what_was_written(headers) -> None:
    paths = ["plain.jpg", "full.jpg", "grey.jpg", "drawn.png"]
    cues = file_cues(headers, paths).set_index(np.array(paths))
    assert cues["bytes"].tolist() == [(headers / path).stat().st_size for path in paths]
    assert cues[["width", "height"]].to_numpy().tolist() == [[40, 24]] * 4
    assert cues["bytes_per_pixel"].tolist() == pytest.approx((cues["bytes"] / 960).tolist())
    assert cues["channels"].tolist() == [3, 3, 1, 3]

    plain = cues.loc["plain.jpg"]
    assert plain["segments"] == 1  # JFIF's own
    assert plain[["luminance_sum", "luminance_min", "luminance_max"]].tolist() == [64, 1, 1]
    assert plain[["chrominance_sum", "chrominance_min", "chrominance_max"]].tolist() == [64, 1, 1]
    assert plain[["subsampling_x", "subsampling_y", "progressive"]].tolist() == [1, 1, 0]
    assert plain[["exif_bytes", "xmp_bytes", "icc_bytes", "comment_bytes"]].tolist() == [0, 0, 0, 0]

    full = cues.loc["full.jpg"]
    assert full["segments"] == 5  # JFIF, EXIF, XMP, ICC, comment
    assert full[["luminance_sum", "luminance_min", "luminance_max"]].tolist() == [65 * 32, 1, 64]
    assert full[["chrominance_sum", "chrominance_min", "chrominance_max"]].tolist() == [7 * 64, 7, 7]
    assert full[["subsampling_x", "subsampling_y", "progressive"]].tolist() == [2, 2, 1]
    assert full[["density_x", "density_y", "density_unit"]].tolist() == [300, 200, 1]
    assert full["exif_bytes"] == len(exif().tobytes())
    assert full[["xmp_bytes", "icc_bytes", "comment_bytes"]].tolist() == [4, 100, 5]
    assert full["segment_bytes"] > full["exif_bytes"] + 4 + 100 + 5

    assert cues.loc["grey.jpg", "chrominance_sum"] == -1
    assert cues.loc["drawn.png", ["luminance_sum", "subsampling_x", "density_x", "density_unit"]].eq(-1).all()
    assert np.isfinite(cues.to_numpy(float)).all()
    assert has_exif(cues).tolist() == [False, True, False, True]
    assert coarse_jpeg(cues).tolist() == [False, True, False, False]


@pytest.mark.parametrize(("quality", "coarse"), [(100, False), (99, True), (75, True)])
def test_below_quality_100_is_coarse(tmp_path, quality, coarse) -> None:
    (tmp_path / "1.jpg").write_bytes(saved(noise(), quality=quality))
    assert coarse_jpeg(file_cues(tmp_path, ["1.jpg"])).tolist() == [coarse]


@given(st.integers(0, 10**6))
def test_pixel_cues_are_numpys(seed) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    rows = np.array([2, 0])
    cues = pixel_cues(pixels, rows)
    frame = np.ones((16, 16), dtype=bool)
    frame[2:14, 2:14] = False
    for table, chosen in ((cues.frame, pixels[rows][:, frame]), (cues.colour, pixels[rows].reshape(2, -1, 3))):
        assert table.columns.tolist() == COLUMNS
        quantiles = np.quantile(chosen, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1, method="inverted_cdf")
        expected = np.stack([chosen.mean(axis=1), chosen.std(axis=1), *quantiles])  # statistic, image, channel
        np.testing.assert_allclose(table, expected.transpose(1, 2, 0).reshape(2, -1), rtol=1e-12)


def test_a_thumbnail_is_the_mean_of_each_block() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)
    blocks = pixels.reshape(12, 4, 12, 4, 3).mean(axis=(1, 3))
    assert np.abs(pixel_cues(pixels, np.array([0])).thumbnail.reshape(12, 12, 3) - blocks).max() <= 1


def test_a_replaced_frame_leaves_the_interior_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    before = pixels.copy()
    replaced = replace_frame(pixels, np.array([1, 2, 3], dtype=np.uint8))
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(replaced[4:28, 4:28], pixels[4:28, 4:28])
    assert replaced.dtype == np.uint8
    assert {tuple(colour) for colour in replaced[frame_mask(32, 32)].tolist()} == {(1, 2, 3)}


def test_the_mean_colour_of_frames_is_that_of_all_their_pixels() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    colour = mean_colour(pixel_cues(pixels, np.arange(5)).frame)
    assert colour.dtype == np.uint8
    assert colour.tolist() == pixels[:, frame_mask(16, 16)].reshape(-1, 3).mean(axis=0).round().tolist()


def test_files_saved_again_differ_in_their_pixels_alone(headers) -> None:
    paths = ["plain.jpg", "full.jpg", "grey.jpg", "drawn.png"]
    for path in paths:
        content = (headers / path).read_bytes()
        (headers / path).with_suffix(".again").write_bytes(reencode(content))
        before, after = (np.asarray(open_photograph(path, file)) for file in (content, reencode(content)))
        assert 0 < np.abs(before.astype(int) - after).mean() < 8
    cues = file_cues(headers, [path.rsplit(".", 1)[0] + ".again" for path in paths])
    constant = cues.drop(columns=["bytes", "bytes_per_pixel"])
    assert constant.nunique().eq(1).all()
    assert not has_exif(cues).any()
    assert coarse_jpeg(cues).all()


@pytest.mark.parametrize("name", ["plain.jpg", "full.jpg", "grey.jpg", "drawn.png"])
def test_stripping_keeps_every_pixel_and_nothing_else(headers, name) -> None:
    content = (headers / name).read_bytes()
    bare = strip_metadata(content)
    with Image.open(io.BytesIO(bare)) as after:
        assert not after.info
        np.testing.assert_array_equal(np.asarray(after), np.asarray(open_photograph(name, content)))


def test_stripping_keeps_what_tells_the_colours_and_which_side_is_up() -> None:
    sideways = exif()
    sideways[0x0112] = 6
    content = saved(noise().convert("CMYK"), exif=sideways.tobytes())
    bare = strip_metadata(content)
    assert b"Exif" not in bare
    np.testing.assert_array_equal(
        np.asarray(open_photograph("bare", bare)), np.asarray(open_photograph("content", content))
    )


def test_stripping_a_png_takes_its_text() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "malignant")
    bare = strip_metadata(saved(noise(), "PNG", pnginfo=text, icc_profile=b"p" * 20))
    assert b"malignant" not in bare
    assert b"iCCP" not in bare


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2) + content


ODD = {  # what stands behind the first segment of a JPEG, and cues that follow
    "one of two parts of a profile": (segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(50)), {"icc_bytes": 0}),
    "stray bytes": (b"\0\0stray", {"segments": 1}),
    "padding": (b"\xff\xff\xff", {"segments": 1}),
    "EXIF that is none": (segment(0xE1, b"Exif\0\0none"), {"exif_bytes": 10}),
    "an empty comment": (segment(0xFE, b""), {"comment_bytes": 0, "segments": 2}),
    "a second JFIF": (segment(0xE0, b"JFIF\0\1\2"), {"density_x": 1, "density_unit": 0}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_headers_have_cues_and_interventions(tmp_path, name) -> None:
    odd, said = ODD[name]
    plain = saved(noise(), quality=90)
    (tmp_path / "odd.jpg").write_bytes(plain[:20] + odd + plain[20:])
    (tmp_path / "plain.jpg").write_bytes(plain)
    cues = file_cues(tmp_path, ["odd.jpg"])
    assert np.isfinite(cues.to_numpy(float)).all()
    assert {key: cues.loc[0, key] for key in said} == said
    decode(tmp_path, ["odd.jpg", "plain.jpg"], at(32), tmp_path / "processed")
    images = Images.open(tmp_path / "processed")
    np.testing.assert_array_equal(images.pixels[0], images.pixels[1])
    for read in interventions(tmp_path, images, at(32), np.array([9, 9, 9], dtype=np.uint8)).values():
        np.testing.assert_array_equal(read("odd.jpg"), read("plain.jpg"))


def test_text_in_a_png_is_no_cue_of_a_jpeg(tmp_path) -> None:
    text = PngImagePlugin.PngInfo()
    for key in ("jfif_density", "jfif_unit", "progressive", "icc_profile", "xmp", "comment"):
        text.add_text(key, "odd")
    (tmp_path / "a.png").write_bytes(saved(noise(), "PNG", pnginfo=text))
    cues = file_cues(tmp_path, ["a.png"]).loc[0]
    assert cues[["density_x", "density_y", "density_unit"]].tolist() == [-1, -1, -1]
    assert cues[["progressive", "icc_bytes", "xmp_bytes", "comment_bytes"]].tolist() == [0, 0, 0, 0]


def test_interventions_touch_what_they_say(headers) -> None:
    paths = ["plain.jpg", "full.jpg"]
    decode(headers, paths, at(32), headers / "processed")
    images = Images.open(headers / "processed")
    rows = images.rows(["full.jpg", "plain.jpg"])
    colour = np.array([9, 9, 9], dtype=np.uint8)
    changed = {
        name: write_pixels(headers / name, ["full.jpg", "plain.jpg"], 32, read)
        for name, read in interventions(headers, images, at(32), colour).items()
    }
    assert set(changed) == {"frame_replaced", "reencoded", "exif_stripped"}
    assert differing(images.pixels, rows, changed["exif_stripped"]).tolist() == []
    assert differing(images.pixels, rows, changed["reencoded"]).tolist() == [0, 1]
    np.testing.assert_array_equal(changed["frame_replaced"][0], replace_frame(images.pixels[1], colour))
    assert differing(images.pixels, rows, np.stack([images.pixels[1], changed["reencoded"][1]])).tolist() == [1]
