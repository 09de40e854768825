"""Which photographs show the same lesion: equal bytes, equal pixels, near-equal hashes, or matching features."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from dermascreen.images.matching import find_matches
from dermascreen.images.photograph import read_photograph
from dermascreen.params import AuditParams

HASH_SIDE = 16  # 256 bits: at the usual 64, small round lesions on plain skin already look alike
METHODS = ("bytes", "pixels", "hash", "features")  # from the surest to the one that finds most

Hashes = npt.NDArray[np.bool_]  # shape (N, 256)


def find_pairs(root: Path, manifest: pd.DataFrame, params: AuditParams) -> pd.DataFrame:
    """Pairs of photographs that show one lesion, each by the surest method that finds it.

    Parameters: `manifest` with path and sha256, the photographs being under `root`.
    Returns path_a, path_b, method, score and inliers. The score is 1 for equal bytes and pixels, the share of equal
    bits for hashes, and for features the inliers times the share of the image that agrees (`matching.Match`).
    """
    paths = manifest["path"].tolist()
    pixels, hashes = fingerprints(root, paths)
    rows = [(*pair, "bytes", 1.0, 0) for pair in equal_pairs(manifest["sha256"].tolist())]
    rows += [(*pair, "pixels", 1.0, 0) for pair in equal_pairs(pixels)]
    rows += [(a, b, "hash", 1 - distance / hashes.shape[1], 0) for a, b, distance in near(hashes, params.max_distance)]
    rows += [
        (match.first, match.second, "features", match.score, match.inliers)
        for match in find_matches(root, paths, params.min_score)
    ]
    pairs = pd.DataFrame(rows, columns=["a", "b", "method", "score", "inliers"])
    pairs["method"] = pd.Categorical(pairs["method"], METHODS, ordered=True)
    pairs = pairs.sort_values(["method", "score", "a", "b"], ascending=[True, False, True, True])
    pairs = pairs.drop_duplicates(["a", "b"])
    names = np.array(paths, dtype=object)
    return pd.DataFrame(
        {
            "path_a": names[pairs["a"].to_numpy(int)],
            "path_b": names[pairs["b"].to_numpy(int)],
            "method": pairs["method"].astype(str).to_numpy(),
            "score": pairs["score"].to_numpy(float).round(4),
            "inliers": pairs["inliers"].to_numpy(int),
        }
    )


def fingerprints(root: Path, paths: Sequence[str]) -> tuple[list[str], Hashes]:
    """A digest of each image's decoded pixels, and its 256-bit DCT hash (imagehash.phash)."""

    def one(path: str) -> tuple[str, npt.NDArray[np.bool_]]:
        rgb = read_photograph(root / path)
        digest = hashlib.blake2b(rgb.tobytes(), digest_size=16, key=repr(rgb.size).encode())
        return digest.hexdigest(), np.asarray(imagehash.phash(rgb, hash_size=HASH_SIDE).hash).ravel()

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter lock
        found = list(tqdm(pool.map(one, paths), "hash", len(paths), unit="image", disable=None))
    return [digest for digest, _ in found], np.array([bits for _, bits in found], dtype=bool)


def equal_pairs(values: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs (i < j) that chain the places of each value that occurs more than once."""
    places = pd.Series(range(len(values))).groupby(np.asarray(values), sort=False)
    before = places.shift(1).dropna().astype(int)
    return [(int(i), int(j)) for j, i in before.items() if isinstance(j, int)]


def near(hashes: Hashes, max_distance: int) -> list[tuple[int, int, int]]:
    """All index pairs (i < j) whose hashes differ in at most `max_distance` bits, with that number.

    Hashes that differ in at most d bits agree in one of d + 1 parts (the pigeonhole principle), so only those that
    share a part are compared.
    """
    candidates: set[tuple[int, int]] = set()
    for part in np.array_split(hashes, max_distance + 1, axis=1):
        keys = [row.tobytes() for row in part]
        for members in pd.Series(range(len(keys))).groupby(keys, sort=False).indices.values():
            first, second = np.triu_indices(len(members), k=1)
            differ = (hashes[members[first]] != hashes[members[second]]).sum(axis=1)
            close = differ <= max_distance
            candidates.update(zip(members[first[close]].tolist(), members[second[close]].tolist(), strict=True))
    return [(i, j, int((hashes[i] != hashes[j]).sum())) for i, j in sorted(candidates)]


def join(paths: Sequence[str], pairs: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Number the groups that `pairs` (path_a, path_b) join among `paths` by first appearance; shape (paths,)."""
    index = pd.Index(paths)
    ends = index.get_indexer(pd.Index(pairs["path_a"])), index.get_indexer(pd.Index(pairs["path_b"]))
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), ends), shape=(len(paths), len(paths)))
    _, component = connected_components(graph, directed=False)
    return np.asarray(pd.factorize(component)[0])


def summarise(manifest: pd.DataFrame, lesion: npt.NDArray[np.intp], pairs: pd.DataFrame) -> dict[str, Any]:
    """Count what was found; `manifest` has label, source_split and sha256, one row for each of `lesion`."""
    source = manifest["source_split"]
    images = manifest.assign(lesion=lesion, in_train=source.eq("train"))
    by_lesion = images.groupby("lesion")
    return {
        "images": len(images),
        "exact_duplicates": int(images["sha256"].duplicated().sum()),
        "lesions": by_lesion.ngroups,
        "lesions_with_several_images": int(by_lesion.size().gt(1).sum()),
        "test_images_with_train_twin": int((source.eq("test") & by_lesion["in_train"].transform("any")).sum()),
        "label_conflicts": int(by_lesion["label"].nunique().gt(1).sum()),
        "pairs": {method: int(pairs["method"].eq(method).sum()) for method in METHODS},
    }
