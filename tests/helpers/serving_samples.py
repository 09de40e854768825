"""Photographs of noise, as arrays and as files."""

import io

import numpy as np
from PIL import Image

SIZE = 64


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def encoded(image: np.ndarray | Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, form)
    return file.getvalue()
