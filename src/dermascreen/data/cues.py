"""Shortcut cues: what a photograph shows without its lesion, in its file, frame, colours and rough layout.

`file_cues` and `pixel_cues` measure such cues for a model to learn the label from. `interventions` remove a cue from a
photograph, to see how the network does without it.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from dermascreen.artifacts.dataset.images import Images, Pixels
from dermascreen.core.params import PreprocessParams
from dermascreen.core.tables import Names
from dermascreen.core.threads import in_threads
from dermascreen.data.photographs.framing import to_input
from dermascreen.data.photographs.header import open_header
from dermascreen.data.photographs.photograph import open_photograph
from dermascreen.evidence.frame import frame_mask

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
THUMBNAIL = 12  # pixels a side
CHANNELS = ("red", "green", "blue")
STATISTICS = ("mean", "std", *(f"q{round(100 * quantile):02}" for quantile in QUANTILES))
COLUMNS = [f"{channel}_{statistic}" for channel in CHANNELS for statistic in STATISTICS]

Statistics = npt.NDArray[np.float64]  # a number for each of COLUMNS

BLOCKS = {"exif": "exif", "xmp": "xmp", "icc": "icc_profile", "comment": "comment"}  # and their names in Pillow
UNSAID = -1  # for what a file does not say; a number, because not every learner accepts a column of NaN

QUALITY = 75  # of re-encoded images: the lowest in the Kaggle set, so that no file keeps more detail than another
SUBSAMPLING = "4:2:0"


class PixelCues(NamedTuple):
    """Cues of n images: `frame` and `colour` have a column for each channel's mean, standard deviation and quantiles;
    `thumbnail` is the image shrunk to 12 x 12 RGB, as n rows of 432 numbers.
    """

    frame: pd.DataFrame
    colour: pd.DataFrame
    thumbnail: Pixels


def file_cues(root: Path, paths: Names) -> pd.DataFrame:
    """What the header and the size of each file say, as numbers; one row for each path. Decodes no pixels.

    bytes, width, height, bytes_per_pixel and channels; segments (APPn and comments) and their total bytes; bytes of
    EXIF, XMP, ICC profile and comment; sum, least and greatest step of the first (luminance) and second (chrominance)
    quantisation table; horizontal and vertical chroma subsampling; progressive (0 or 1); JFIF density and its unit.
    What a file does not say, such as the quantisation of a PNG, is -1.
    """
    return pd.DataFrame(in_threads(lambda path: _file_cues(root / path), paths, "files"))


def _file_cues(path: Path) -> dict[str, float]:
    content = path.read_bytes()
    image = open_header(str(path), content)
    jpeg = image if isinstance(image, JpegImageFile) else None
    segments = [segment for _, segment in jpeg.applist] if jpeg else []
    tables = [steps for _, steps in sorted(jpeg.quantization.items())] if jpeg else []
    layers = jpeg.layer if jpeg else []  # for each: its number, horizontal and vertical sampling, and table
    says = jpeg.info if jpeg else {}  # in a PNG, any text may have any of these names
    density = says.get("jfif_density", (UNSAID, UNSAID))
    return {
        "bytes": len(content),
        "width": image.width,
        "height": image.height,
        "bytes_per_pixel": len(content) / (image.width * image.height),
        "channels": len(image.getbands()),
        "segments": len(segments),
        "segment_bytes": sum(map(len, segments)),
        **{f"{name}_bytes": _length(image.info.get(key)) for name, key in BLOCKS.items()},
        **_steps("luminance", tables[:1]),
        **_steps("chrominance", tables[1:2]),
        "subsampling_x": layers[0][1] if layers else UNSAID,
        "subsampling_y": layers[0][2] if layers else UNSAID,
        "progressive": bool(says.get("progressive")),
        "density_x": density[0],
        "density_y": density[1],
        "density_unit": says.get("jfif_unit", UNSAID),
    }


def _length(block: object) -> int:
    """The bytes of a block of metadata; 0 if it is missing or incomplete, such as part of an ICC profile."""
    return len(block) if isinstance(block, bytes) else 0


def _steps(name: str, tables: Sequence[Sequence[int]]) -> dict[str, float]:
    steps = tables[0] if tables else [UNSAID]
    return {f"{name}_sum": sum(steps), f"{name}_min": min(steps), f"{name}_max": max(steps)}


def has_exif(cues: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which files hold an EXIF block; shape (n,)."""
    return np.asarray(cues["exif_bytes"] > 0)


def coarse_jpeg(cues: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which files were saved as a JPEG below quality 100, where some quantisation step is above 1; shape (n,).

    In the Kaggle set every benign photograph has steps of 1 throughout, and a quarter of the malignant ones do not.
    """
    return np.asarray(cues[["luminance_max", "chrominance_max"]].max(axis=1) > 1)


def pixel_cues(pixels: Pixels, rows: npt.NDArray[np.intp]) -> PixelCues:
    """Measure `rows` of `pixels`, uint8 (N, size, size, 3), one image at a time."""
    mask = Image.fromarray(frame_mask(*pixels.shape[1:3]).astype(np.uint8) * 255)

    def measure(row: np.intp) -> tuple[Statistics, Statistics, Pixels]:
        image = Image.fromarray(pixels[row])
        shrunk = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        return _statistics(image.histogram(mask)), _statistics(image.histogram()), np.asarray(shrunk).ravel()

    frame, colour, thumbnail = zip(*in_threads(measure, rows, "pixels"), strict=True)
    return PixelCues(pd.DataFrame(frame, columns=COLUMNS), pd.DataFrame(colour, columns=COLUMNS), np.stack(thumbnail))


def differing(pixels: Pixels, rows: npt.NDArray[np.intp], changed: Pixels) -> npt.NDArray[np.intp]:
    """The rows of `changed` in which any pixel differs from the same image in `rows` of `pixels`."""
    return np.flatnonzero([not np.array_equal(pixels[row], image) for row, image in zip(rows, changed, strict=True)])


def _statistics(histogram: Sequence[int]) -> Statistics:
    """Mean, standard deviation and quantiles of each channel, as COLUMNS names them, from Pillow's 3 x 256 counts.

    A quantile is the lowest value with at least that share of the pixels at or below it.
    """
    counts = np.reshape(histogram, (len(CHANNELS), 256))
    total, values = counts.sum(axis=1), np.arange(256)
    mean = counts @ values / total
    deviation = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / total)
    reached = counts.cumsum(axis=1) / total[:, None]
    quantiles = [(reached < quantile).sum(axis=1) for quantile in QUANTILES]
    return np.stack([mean, deviation, *quantiles], axis=1).ravel()


def mean_colour(cues: pd.DataFrame) -> Pixels:
    """The mean colour of the images (or their frames) that `cues` measures, uint8 (3,)."""
    return np.asarray(cues[[f"{channel}_mean" for channel in CHANNELS]].mean().round(), dtype=np.uint8)


def interventions(
    root: Path, images: Images, params: PreprocessParams, colour: Pixels
) -> dict[str, Callable[[str], Pixels]]:
    """Functions from a photograph's path to its pixels with a cue removed, shape (size, size, 3).

    frame_replaced: its frame filled with `colour`, uint8 (3,). reencoded: its file decoded and saved in the same way as
    all others. exif_stripped: its picture saved without loss and without metadata. Files are read from `root`, and
    decoded with `params`, as `images` were.
    """

    def again(path: str, save: Callable[[bytes, str], bytes]) -> Pixels:
        content = (root / path).read_bytes()
        return to_input(open_photograph(path, save(content, path)), params)

    return {
        "frame_replaced": lambda path: replace_frame(images.pixels[images.rows([path])[0]], colour),
        "reencoded": lambda path: again(path, reencode),
        "exif_stripped": lambda path: again(path, strip_metadata),
    }


def replace_frame(pixels: Pixels, colour: Pixels) -> Pixels:
    """A copy of an image, shape (size, size, 3), whose frame is filled with `colour`, shape (3,)."""
    return np.where(frame_mask(*pixels.shape[:2])[..., None], colour, pixels)


def reencode(content: bytes, name: str = "") -> bytes:
    """A JPEG of the picture in an image file, with tables and subsampling that do not depend on the file's."""
    return _saved(open_photograph(name, content), "JPEG", quality=QUALITY, subsampling=SUBSAMPLING)


def strip_metadata(content: bytes, name: str = "") -> bytes:
    """A PNG of the picture in an image file, with the same pixels and without EXIF, XMP, profile or comments."""
    return _saved(open_photograph(name, content), "PNG", compress_level=1)


def _saved(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()
