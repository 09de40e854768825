"""Which photographs show the same lesion.

Here: equal bytes and near-equal perceptual hashes. Both find a photograph that was saved again; neither finds one that
was taken again from another angle.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

HASH_SIDE = 16  # 256 bits: at the usual 64, small round lesions on plain skin already look alike
CHUNK = 1024  # rows of the distance matrix held at a time


def perceptual_hashes(root: Path, paths: Sequence[str]) -> npt.NDArray[np.uint64]:
    """The 256-bit DCT hash of each image (imagehash.phash), packed into machine words; shape (N, 4)."""

    def bits(path: str) -> npt.NDArray[np.bool_]:
        with Image.open(root / path) as image:
            image.draft("L", (64, 64))  # a JPEG is decoded no finer than the 64 x 64 pixels that the hash looks at
            return np.asarray(imagehash.phash(image, hash_size=HASH_SIDE).hash).ravel()

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter lock
        hashes = list(tqdm(pool.map(bits, paths), "hash", len(paths), unit="image", disable=None))
    return np.packbits(hashes, axis=1).view(np.uint64)


def same_lesion_pairs(hashes: npt.NDArray[np.uint64], max_distance: int) -> npt.NDArray[np.intp]:
    """Index pairs (i < j) whose hashes differ in at most `max_distance` bits; shape (pairs, 2)."""
    pairs = []
    for start in range(0, len(hashes), CHUNK):
        rows, rest = hashes[start : start + CHUNK], hashes[start:]
        distance = sum(
            np.bitwise_count(rows[:, None, word] ^ rest[None, :, word]).astype(np.uint16)
            for word in range(hashes.shape[1])
        )
        near = np.argwhere(np.triu(distance <= max_distance, k=1))
        pairs.append(near + start)
    return np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.intp)


def join(count: int, pairs: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Number the groups that `pairs` join among `count` images by first appearance; shape (count,)."""
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    return np.asarray(pd.factorize(component)[0])


def summarise(manifest: pd.DataFrame, lesion: npt.NDArray[np.intp]) -> dict[str, int]:
    """Count what was found; `manifest` has label, source_split and sha256, one row for each of `lesion`."""
    images = manifest.assign(lesion=lesion, in_train=manifest["source_split"].eq("train"))
    by_lesion = images.groupby("lesion")
    return {
        "images": len(images),
        "exact_duplicates": int(images["sha256"].duplicated().sum()),
        "lesions": by_lesion.ngroups,
        "lesions_with_several_images": int(by_lesion.size().gt(1).sum()),
        "test_images_with_train_twin": int((~images["in_train"] & by_lesion["in_train"].transform("any")).sum()),
        "label_conflicts": int(by_lesion["label"].nunique().gt(1).sum()),
    }
