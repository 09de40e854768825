"""Image files made by hand, byte by byte where Pillow would not write them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

GREY, TRUE_COLOUR, INDEXED, GREY_ALPHA, TRUE_COLOUR_ALPHA = 0, 2, 3, 4, 6  # colour types of a PNG
SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x and y of white, red, green and blue
ADOBE_RGB = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def skin(seed: int = 0, width: int = 40, height: int = 24) -> Image.Image:
    """Smooth colours with grain, as a photograph has them."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 216, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), float)
    return Image.fromarray((smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, format_: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    samples: np.ndarray, colour: int, bits: int = 8, before: dict[bytes, bytes] | None = None,
    after: dict[bytes, bytes] | None = None,
) -> bytes:  # fmt: skip
    """A PNG of `samples`, shape (height, width) or (height, width, channels), with chunks round its pixels."""
    height, width = samples.shape[:2]
    rows = samples.reshape(height, -1)
    if bits == 16:
        packed = [row.astype(">u2").tobytes() for row in rows]
    else:
        unpacked = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
        packed = [np.packbits(row).tobytes() for row in unpacked.reshape(height, -1)]
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
            *(chunk(name, data) for name, data in (before or {}).items()),
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))),
            *(chunk(name, data) for name, data in (after or {}).items()),
            chunk(b"IEND", b""),
        ]
    )


def fixed(*values: float) -> bytes:
    """Numbers of a PNG's gAMA or cHRM chunk."""
    return struct.pack(f">{len(values)}I", *(round(100_000 * value) for value in values))


def xyz(primaries: tuple[float, ...]) -> np.ndarray:
    """From red, green and blue to CIE XYZ, shape (3, 3)."""
    x, y = np.reshape(primaries, (4, 2)).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    return columns[:, 1:] * np.linalg.solve(columns[:, 1:], columns[:, 0])


def adapted(matrix: np.ndarray, white: np.ndarray) -> np.ndarray:
    """A matrix of `xyz` whose white has become `white`, by Bradford's transformation."""
    cones = (BRADFORD @ white) / (BRADFORD @ matrix.sum(axis=1))
    return np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ matrix


def icc(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ", class_: bytes = b"mntr") -> bytes:
    """An ICC profile, version 2."""
    offset, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, offset + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sIIIIII12s", offset + len(data), b"none", 0x02100000, class_, space, pcs, bytes(12), b"acsp",
        bytes(4), 0, 0, 0, 0, 0, 0, struct.pack(">3i", *(round(65536 * value) for value in D50)),
    ).ljust(128, b"\0")  # fmt: skip
    return header + struct.pack(">I", len(tags)) + table + data


def point(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *np.rint(65536 * values).astype(int).tolist())


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma))


def rgb_profile(primaries: tuple[float, ...], gamma: float) -> bytes:
    columns = adapted(xyz(primaries), D50).T
    tags = {b"wtpt": point(D50)}
    for name, column in zip(b"rgb", columns, strict=True):
        tags |= {bytes([name]) + b"XYZ": point(column), bytes([name]) + b"TRC": curve(gamma)}
    return icc(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    return icc(b"GRAY", {b"wtpt": point(D50), b"kTRC": curve(gamma)})


def cmyk_profile() -> bytes:
    """Inks that darken paper less than black ink would, and tint it."""
    corners = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    lightness = 255 - corners @ [60, 70, 20, 100]
    tints = 128 + corners @ [[-30, -40], [60, -5], [-5, 70], [0, 0]]
    grid = np.column_stack([lightness.clip(10, 255), tints]).clip(0, 255).astype(np.uint8)
    identity = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel().tolist())
    return icc(
        b"CMYK", {b"wtpt": point(D50), b"A2B0": table + identity * 4 + grid.tobytes() + identity * 3}, b"Lab ", b"prtr"
    )


def encoded(light: np.ndarray) -> np.ndarray:
    """Light between 0 and 1 as sRGB's samples, 0 to 255."""
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def in_srgb(samples: np.ndarray, primaries: tuple[float, ...], gamma: float) -> np.ndarray:
    """Samples between 0 and 1 of other primaries and a power of light, as sRGB's."""
    white = xyz(SRGB).sum(axis=1)
    light = samples**gamma @ (np.linalg.inv(xyz(SRGB)) @ adapted(xyz(primaries), white)).T
    return encoded(light.clip(0, 1))
