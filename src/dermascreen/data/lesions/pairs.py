"""Which photographs show the same lesion: equal bytes, equal pixels, near-equal hashes, matching
features, or the name of the lesion in a table.
"""

import hashlib
from collections.abc import Set
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermascreen.artifacts.dataset.details import AuditDetails, PairCounts
from dermascreen.artifacts.dataset.lesions import Lesions, Pairs
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.core.params import AuditParams
from dermascreen.core.tables import Names
from dermascreen.core.threads import in_threads
from dermascreen.data.lesions.matching import find_matches
from dermascreen.data.photographs.photograph import read_photograph

ACROSS_LABELS = 1.5  # times the score that features need where one photograph is benign and the other malignant
HASH_SIDE = 16  # 256 bits: at the usual 64, small round lesions on plain skin already look alike
# The first of these that finds a pair is said to have found it.
METHODS = ("bytes", "pixels", "hash", "features", "declared", "reviewed")

Apart = Set[tuple[int, int]]  # pairs of places, the lesser one first
Hashes = npt.NDArray[np.bool_]  # shape (N, 256)


def find_pairs(
    root: Path,
    paths: Names,
    sha256: Names,
    label: npt.NDArray[np.int64],
    params: AuditParams,
    *,
    declared: Names,
    apart: Apart = frozenset(),
) -> Pairs:
    """Pairs of photographs that show one lesion, each by the first of METHODS that finds it.

    The score is 1 for equal bytes and pixels, the share of equal bits for hashes, and for features the inliers times
    the share of the image that agrees (`verification.Match`). One lesion seldom has two labels, so features need a
    score that is ACROSS_LABELS times as high where the labels differ.

    Parameters: `paths` of the photographs under `root`, `sha256` of their files, and their labels; the `declared` names
    of their lesions, blank where none is known; `apart`, pairs of places that are not to be joined by what is equal.
    """
    pixels, hashes = fingerprints(root, paths)
    rows = [(*pair, "bytes", 1.0, 0) for pair in equal_pairs(sha256, apart)]
    rows += [(*pair, "pixels", 1.0, 0) for pair in equal_pairs(pixels, apart)]
    rows += [(a, b, "hash", 1 - distance / hashes.shape[1], 0) for a, b, distance in near(hashes, params.max_distance)]
    rows += [
        (match.first, match.second, "features", match.score, match.inliers)
        for match in find_matches(root, paths, params.min_score)
        if label[match.first] == label[match.second] or match.score >= ACROSS_LABELS * params.min_score
    ]
    rows += [(*pair, "declared", 1.0, 0) for pair in equal_pairs(declared, apart)]
    pairs = pd.DataFrame(rows, columns=["a", "b", "method", "score", "inliers"])
    pairs["method"] = pd.Categorical(pairs["method"], METHODS, ordered=True)
    pairs = pairs.sort_values(["method", "score", "a", "b"], ascending=[True, False, True, True])
    pairs = pairs.drop_duplicates(["a", "b"])
    names = np.array(paths, dtype=object)
    return Pairs(
        names[pairs["a"].to_numpy(int)],
        names[pairs["b"].to_numpy(int)],
        pairs["method"].to_numpy(object),
        pairs["score"].to_numpy(float).round(4),
        pairs["inliers"].to_numpy(int),
    )


def fingerprints(root: Path, paths: Names) -> tuple[list[str], Hashes]:
    """A digest of each image's decoded pixels, and its 256-bit DCT hash (imagehash.phash)."""

    def one(path: str) -> tuple[str, npt.NDArray[np.bool_]]:
        rgb = read_photograph(root / path)
        digest = hashlib.blake2b(rgb.tobytes(), digest_size=16, key=repr(rgb.size).encode())
        return digest.hexdigest(), np.asarray(imagehash.phash(rgb, hash_size=HASH_SIDE).hash).ravel()

    found = in_threads(one, paths, "hash")
    return [digest for digest, _ in found], np.array([bits for _, bits in found], dtype=bool)


def equal_pairs(values: Names, apart: Apart = frozenset()) -> list[tuple[int, int]]:
    """Index pairs (i < j) that join the places of each value that occurs more than once; blanks are no value.

    Each place is joined to the last one before it that it is not to be kept `apart` from, so that one which is kept
    apart from some does not part the others.
    """
    names = np.asarray(values, dtype=object)
    frame = pd.Series(range(len(names)))[names != ""]
    pairs = []
    for places in frame.groupby(names[names != ""], sort=False):
        members = places[1].tolist()
        for at, j in enumerate(members[1:], 1):
            before = next((i for i in reversed(members[:at]) if (i, j) not in apart), None)
            if before is not None:
                pairs.append((before, j))
    return sorted(pairs, key=lambda pair: pair[1])


def near(hashes: Hashes, max_distance: int) -> list[tuple[int, int, int]]:
    """All index pairs (i < j) whose hashes differ in at most `max_distance` bits, with the number of those bits.

    Hashes that differ in at most d bits are equal in at least one of d + 1 parts (the pigeonhole principle), so only
    hashes with an equal part are compared.
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


def join(paths: Names, pairs: Pairs) -> npt.NDArray[np.intp]:
    """Number the groups that `pairs` join among `paths` by first appearance; shape (paths,)."""
    index = pd.Index(np.array(paths, dtype=object))
    return _components(len(paths), *(index.get_indexer(pd.Index(side)) for side in (pairs.path_a, pairs.path_b)))


def _components(n: int, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The groups into which the edges from `first` to `second` join n nodes, numbered by first appearance."""
    graph = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    return np.asarray(pd.factorize(component)[0])


def number_patients(lesion: npt.NDArray[np.intp], declared: Names) -> npt.NDArray[np.intp]:
    """Number the patients by first appearance: photographs of one lesion, or of one declared patient, are of one."""
    places = [*equal_pairs(declared), *equal_pairs([str(number) for number in lesion])]
    return _components(len(lesion), *(np.array(places, dtype=int).reshape(-1, 2).T))


def contradictions(lesions: Lesions, metadata: Metadata, pairs: Pairs) -> pd.DataFrame:
    """What the data set's own table says against each of `pairs`.

    `name_a` and `name_b` are the names of their lesions, `ids` whether these keep the two apart, and `patients` whether
    their lesion is of several patients.
    """
    first, second = (metadata.at(side)["lesion"] for side in (pairs.path_a, pairs.path_b))
    ids = (first != second) & (first != "") & (second != "")
    several = _patients_of(lesions, metadata).reindex(lesions.at(pairs.path_a).lesion).gt(1)
    return pd.DataFrame({"name_a": first, "name_b": second, "ids": ids, "patients": several.to_numpy(bool)})


def _patients_of(lesions: Lesions, metadata: Metadata) -> "pd.Series[int]":
    """How many declared patients each lesion has."""
    patient = pd.Series(metadata.at(lesions.path)["patient"])
    return patient.where(patient.ne("")).groupby(lesions.lesion).nunique()


def summarise(manifest: Manifest, lesions: Lesions, metadata: Metadata, pairs: Pairs, rejected: Pairs) -> AuditDetails:
    """Count what was found; `lesions` has the rows of `manifest`, and `rejected` are pairs that a person overruled."""
    source = pd.Series(manifest.source_split)
    images = manifest.to_frame().assign(lesion=lesions.lesion, in_train=source.eq("train"))
    by_lesion, told = images.groupby("lesion"), pd.Series(metadata.at(lesions.path)["patient"]).ne("")
    return AuditDetails(
        images=len(images),
        exact_duplicates=int(images["sha256"].duplicated().sum()),
        lesions=by_lesion.ngroups,
        lesions_with_several_images=int(by_lesion.size().gt(1).sum()),
        test_near_duplicates_of_train=int((source.eq("test") & by_lesion["in_train"].transform("any")).sum()),
        patients=int(pd.Series(lesions.patient).nunique()) if told.any() else None,
        of_unknown_patients=int((~told.groupby(lesions.lesion).transform("any")).sum()) if told.any() else 0,
        label_conflicts=int(by_lesion["label"].nunique().gt(1).sum()),
        patient_conflicts=int(_patients_of(lesions, metadata).gt(1).sum()),
        pairs_rejected=len(rejected),
        rejected_but_joined=int((lesions.at(rejected.path_a).lesion == lesions.at(rejected.path_b).lesion).sum()),
        pairs_kept_apart=int(contradictions(lesions, metadata, pairs)["ids"].sum()),
        pairs=PairCounts(**{method: int((pairs.method == method).sum()) for method in METHODS}),
    )
