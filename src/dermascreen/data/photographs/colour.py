"""A decoded photograph's colours as a viewer shows them: 8-bit sRGB, and on white where it is transparent.

An ICC profile is applied by littleCMS; one that cannot be used is ignored, as viewers do. Without one, the chunks of a
PNG may say how its colours are encoded: cICP takes precedence over sRGB, and sRGB over gAMA and cHRM (PNG, third
edition, 4.3). A gAMA is applied as libpng does for a display with an exponent of 2.2; with primaries other than sRGB's
it gives linear light, which is converted to sRGB.
"""

import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngImageFile

from dermascreen.core.errors import ImageError
from dermascreen.data.photographs import png
from dermascreen.data.photographs.header import Opened

Samples = npt.NDArray[np.unsignedinteger]
Floats = npt.NDArray[np.floating]
Matrix = npt.NDArray[np.float32]  # from linear red, green and blue to those of other primaries; shape (3, 3)
Convert = Callable[[Image.Image], Image.Image]

CLASSES = {"mntr", "scnr", "prtr", "spac"}  # classes of profiles: those of devices and colour spaces
SPACES = {
    "GRAY": "L",
    "RGB ": "RGB",
    "CMYK": "CMYK",
}  # colour spaces of profiles, and Pillow's modes of the pixels that they describe
FITTING = {("L", "L"), ("L", "RGB"), ("RGB", "RGB"), ("CMYK", "CMYK")}  # modes of pixels and of profiles
PROBES = (0, 16, 32, 64, 96, 128, 160, 192, 224, 255)
UNSEEN = 2  # of 255: a profile that changes no probe by more counts as sRGB

DEEP = ";16B"  # endings of Pillow's names for samples of 16 bits
SWAPPED = ";16L"  # and for those whose first byte is the low one
SHALLOW = {"L;2": 85, "L;4": 17}  # what Pillow multiplies samples of 2 and 4 bits by

SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x and y of white, red, green and blue
DISPLAY_P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
CICP = re.compile(rb"\x00\x00\x00\x04cICP(.)(.)(.)(.)", re.DOTALL)
CICP_PRIMARIES = {b"\x01\x0d\x00\x01": SRGB, b"\x0c\x0d\x00\x01": DISPLAY_P3}  # both with sRGB's curve
SAME = 1e-3  # of a coordinate of a primary
STRAIGHT, SLOPE = 0.04045, 12.92  # of sRGB's curve near black, which is a power beyond
DISPLAY = 2.2  # exponent
INSIGNIFICANT = 0.05  # difference of an exponent from 1, to libpng
GAMMAS = (1e-3, 1e3)  # outside this range a gAMA chunk is invalid
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
OPAQUE = 255
STEPS = 2**16  # of light between black and white
ROWS = 256  # converted at a time, so that memory does not grow with the picture


class Encoding(NamedTuple):
    """How a PNG without a profile encodes its colours, if not as sRGB."""

    gamma: float | None = None  # the sample is linear light to this power
    to_srgb: Matrix | None = None  # from its primaries


class Shown(NamedTuple):
    picture: Image.Image  # RGB
    transparent: bool  # any of it


def as_shown(name: str, image: Opened, content: bytes, raw_mode: str) -> Shown:
    """The decoded `image` of the file `content` as a viewer shows it; ImageError, with `name`, if that is unknown.

    `raw_mode` is Pillow's name for how the file stores its pixels, which is lost in decoding.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(image, PngImageFile):
        convert = _by_profile(profile, image.mode)
        return Shown(convert(image) if convert else _in_rgb(image), transparent=False)
    cicp = CICP.search(content, 0, content.find(b"IDAT"))
    convert = None if cicp else _by_profile(profile, "L" if raw_mode.startswith(("1", "L", "I")) else "RGB")
    encoding = Encoding() if convert else _encoding(name, image, cicp)
    if raw_mode.endswith(DEEP):
        colours, opacity = _separate_deep(image, content, raw_mode, encoding)
    else:
        colours, opacity = _separate(image, raw_mode)
        if not (encoding.gamma is None and encoding.to_srgb is None):
            colours = _in_srgb([np.asarray(band) for band in colours.split()], encoding)
    return _on_white(convert(colours) if convert else _in_rgb(colours), opacity)


@lru_cache(maxsize=4)
def _by_profile(profile: object, mode: str) -> Convert | None:
    """The transformation of pixels of `mode` from an ICC profile to sRGB; None if there is no usable profile."""
    if not isinstance(profile, bytes):
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = SPACES.get(source.profile.xcolor_space)
        if space is None or source.profile.device_class not in CLASSES or (mode, space) not in FITTING:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), space, "RGB")
        moved = space == "CMYK" or _moves(transform, space)
    except Exception:  # noqa: BLE001 - littleCMS has no one exception for a profile that it cannot use
        return None
    if moved:
        return lambda image: transform.apply(image if image.mode == space else image.convert(space))
    return _in_rgb


def _in_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _moves(transform: ImageCms.ImageCmsTransform, space: str) -> bool:
    """Whether a profile of grey (L) or RGB differs visibly from sRGB."""
    samples = np.stack(np.meshgrid(*[PROBES] * len(space)), axis=-1).reshape(1, -1, len(space)).astype(np.uint8)
    probe = Image.fromarray(samples if len(space) > 1 else samples[..., 0])
    moved = np.asarray(transform.apply(probe), int) - np.asarray(probe.convert("RGB"))
    return bool(np.abs(moved).max() > UNSEEN)


def _encoding(name: str, image: PngImageFile, cicp: re.Match[bytes] | None) -> Encoding:
    info = image.info
    if cicp:
        code = b"".join(cicp.groups())
        if code not in CICP_PRIMARIES:
            raise ImageError(name, f"has colours that are not converted (cICP {'-'.join(map(str, code))})")
        return Encoding(None, _to_srgb(CICP_PRIMARIES[code]))
    if "srgb" in info:
        return Encoding()
    gamma, primaries = info.get("gamma"), info.get("chromaticity")
    to_srgb = _to_srgb(primaries) if isinstance(primaries, tuple) else None
    if not isinstance(gamma, float) or not GAMMAS[0] < gamma < GAMMAS[1]:
        return Encoding(None, to_srgb)
    seen = to_srgb is not None or abs(gamma * DISPLAY - 1) > INSIGNIFICANT
    return Encoding(gamma if seen else None, to_srgb)


def _in_srgb(planes: Sequence[Samples], encoding: Encoding) -> Image.Image:
    """A picture of mode L or RGB from the samples of its channels, 8 or 16 bits each, shape (height, width)."""
    levels = 256 if planes[0].dtype == np.uint8 else STEPS
    values: Floats = np.arange(levels) / (levels - 1)
    if encoding.to_srgb is None or len(planes) == 1:
        if encoding.gamma is not None and encoding.to_srgb is None:
            values = values ** (1 / (DISPLAY * encoding.gamma))
        elif encoding.gamma is not None:
            values = _curve(values ** (1 / encoding.gamma))
        table = np.rint(255 * values).astype(np.uint8)
        return Image.merge("RGB" if len(planes) > 1 else "L", [Image.fromarray(table[plane]) for plane in planes])
    light = (_light(values) if encoding.gamma is None else values ** (1 / encoding.gamma)).astype(np.float32)
    table = np.rint(255 * _curve(np.arange(STEPS) / (STEPS - 1))).astype(np.uint8)
    pixels = np.empty((*planes[0].shape, len(planes)), dtype=np.uint8)
    for start in range(0, len(pixels), ROWS):
        rows = slice(start, start + ROWS)
        mixed = np.stack([light[plane[rows]] for plane in planes], axis=-1) @ encoding.to_srgb.T
        pixels[rows] = table[np.rint(mixed.clip(0, 1) * (STEPS - 1)).astype(np.uint16)]
    return Image.fromarray(pixels)


def _curve(light: Floats) -> Floats:
    """Linear light between 0 and 1, encoded as sRGB (IEC 61966-2-1)."""
    return np.where(light <= STRAIGHT / SLOPE, SLOPE * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _light(values: Floats) -> Floats:
    """The inverse of `_curve`."""
    return np.where(values <= STRAIGHT, values / SLOPE, ((values + 0.055) / 1.055) ** 2.4)


def _to_srgb(primaries: tuple[float, ...]) -> Matrix | None:
    """The matrix from linear red, green and blue with these `primaries` to sRGB's, which maps white to white.

    None if they are sRGB's own, or are not possible for any colours.
    """
    if np.allclose(primaries, SRGB, atol=SAME):
        return None
    try:
        with np.errstate(all="ignore"):
            source, target = _to_xyz(primaries), _to_xyz(SRGB)
            cones, wanted = (BRADFORD @ matrix.sum(axis=1) for matrix in (source, target))
            adapted = np.linalg.solve(BRADFORD, (wanted / cones)[:, None] * (BRADFORD @ source))
            found = np.linalg.solve(target, adapted).astype(np.float32)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    return found if np.isfinite(found).all() else None


def _to_xyz(primaries: tuple[float, ...]) -> Floats:
    """The matrix from red, green and blue to CIE XYZ, where white has a Y of 1; shape (3, 3)."""
    white, *colours = [(x / y, 1.0, (1 - x - y) / y) for x, y in zip(primaries[::2], primaries[1::2], strict=True)]
    columns = np.transpose(colours)
    return columns * np.linalg.solve(columns, white)


def _separate(image: PngImageFile, raw_mode: str) -> tuple[Image.Image, Image.Image | None]:
    """The colours of a picture with samples of up to 8 bits, in mode L or RGB, and its opacity if there is any."""
    key = image.info.pop("transparency", None)
    if image.mode in {"LA", "RGBA"}:
        return image.convert(image.mode[:-1]), image.getchannel("A")
    if image.mode == "P":
        return image.convert("RGB"), _opacity_of_palette(image, key)
    colours = image.convert("L") if image.mode == "1" else image
    if not isinstance(key, int | tuple):
        return colours, None
    equal = np.asarray(colours) == np.multiply(key, SHALLOW.get(raw_mode, 1))
    return colours, _transparent_where(equal.all(axis=-1) if colours.mode == "RGB" else equal)


def _opacity_of_palette(image: Image.Image, key: object) -> Image.Image | None:
    """From the opacity of each colour, or the one colour that is transparent."""
    table = np.full(256, 255, dtype=np.uint8)
    if isinstance(key, int):
        table[key] = 0
    elif isinstance(key, bytes):
        table[: len(key)] = list(key[:256])
    else:
        return None
    return Image.fromarray(table[np.asarray(image)])


def _separate_deep(
    image: PngImageFile, content: bytes, raw_mode: str, encoding: Encoding
) -> tuple[Image.Image, Image.Image | None]:
    """Like `_separate`, for a picture with samples of 16 bits, each of which is rounded to 8 bits."""
    key, every = image.info.pop("transparency", None), _deep_samples(image, content, raw_mode)
    planes = list(itertools.islice(every, 3 if raw_mode.startswith("RGB") else 1))
    opacity = None
    if raw_mode in {"LA;16B", "RGBA;16B"}:
        opacity = _in_srgb([next(every)], Encoding())
    elif isinstance(key, int | tuple):
        opacity = _transparent_where(
            np.logical_and.reduce([plane == value for plane, value in zip(planes, np.atleast_1d(key), strict=True)])
        )
    return _in_srgb(planes, encoding), opacity


def _deep_samples(image: PngImageFile, content: bytes, raw_mode: str) -> Iterator[Samples]:
    """The samples of 16 bits of each channel, one channel after the other; shape (height, width).

    Pillow decodes them only for grey. For others it decodes the high bytes and, with another raw mode, the low bytes;
    grey with opacity has as many bytes per pixel as RGBA.
    """
    if raw_mode == "I;16B":
        yield np.asarray(image)
        return
    other = png.decoded_as("RGBA" if raw_mode == "LA;16B" else raw_mode.removesuffix(DEEP) + SWAPPED, content)
    if raw_mode == "LA;16B":
        pairs = [(other, 0, other, 1), (other, 2, other, 3)]
    else:
        pairs = [(image, channel, other, channel) for channel in range(len(image.getbands()))]
    for high, high_channel, low, low_channel in pairs:
        bytes_ = np.asarray(high.getchannel(high_channel)), np.asarray(low.getchannel(low_channel))
        yield bytes_[0].astype(np.uint16) << 8 | bytes_[1]


def _transparent_where(mask: npt.NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(mask, 0, 255).astype(np.uint8))


def _on_white(picture: Image.Image, opacity: Image.Image | None) -> Shown:
    """A picture in RGB, on white where it is not opaque."""
    if opacity is None or opacity.getextrema()[0] == OPAQUE:
        return Shown(picture, transparent=False)
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=opacity)
    return Shown(white, transparent=True)
