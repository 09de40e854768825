"""People overrule the audit: what they said of pairs is applied to those that it found, and collected in one file."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermascreen.artifacts.dataset.kaggle import CONTENT, content
from dermascreen.artifacts.dataset.lesions import Pairs
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.reviews import CORRECT, DIFFERENT, SAME, Reviews
from dermascreen.core.errors import BadTableError
from dermascreen.core.tables import Names

KAGGLE = Path(__file__).with_name("kaggle_pairs.csv")  # every pair of that data set, each looked at by eye
REVIEWED = "reviewed"  # the method of a pair that nothing else found
ENDS = ["sha256_a", "sha256_b"]


def settle(pairs: Pairs, paths: Names, sha256: Names) -> tuple[Pairs, Pairs | None]:
    """For photographs whose pairs ship with the package, exactly those; and the pairs that were found besides them.

    What local features find at the lowest scores depends on the processor, and a split must not. Other photographs keep
    the pairs that were found, and None is returned beside them.
    """
    if content(sha256) != CONTENT:
        return pairs, None
    shipped = Reviews.read(KAGGLE)
    confirmed, _ = overrule(pairs, paths, sha256, shipped)
    known = {*zip(shipped.sha256_a, shipped.sha256_b, strict=True)}
    digest = dict(zip(paths, sha256, strict=True))
    ends = [sorted((digest[a], digest[b])) for a, b in zip(confirmed.path_a, confirmed.path_b, strict=True)]
    among = np.array([first == second or (first, second) in known for first, second in ends], dtype=bool)
    return confirmed[among], confirmed[~among]


def kept_apart(sha256: Names, reviews: Reviews) -> set[tuple[int, int]]:
    """The pairs of places, the lesser one first, of photographs that a person said to show two lesions."""
    places: dict[str, list[int]] = {}
    for place, digest in enumerate(sha256):
        places.setdefault(digest, []).append(place)
    different = reviews[reviews.verdict == DIFFERENT]
    return {
        (min(i, j), max(i, j))
        for a, b in zip(different.sha256_a, different.sha256_b, strict=True)
        for i in places.get(a, [])
        for j in places.get(b, [])
    }


def overrule(pairs: Pairs, paths: Names, sha256: Names, reviews: Reviews) -> tuple[Pairs, Pairs]:
    """The pairs without those said to be different, and with those said to be the same; and the former.

    Files of equal bytes are one photograph: what is said of one of them is said of all.
    """
    digest = dict(zip(paths, sha256, strict=True))
    first: dict[str, str] = {}  # a path of each photograph
    for path, one in digest.items():
        first.setdefault(one, path)
    said = dict(zip(zip(reviews.sha256_a, reviews.sha256_b, strict=True), reviews.verdict, strict=True))
    ends = [tuple(sorted((digest[a], digest[b]))) for a, b in zip(pairs.path_a, pairs.path_b, strict=True)]
    found, rejected = pairs.to_frame(), np.array([said.get(pair) == DIFFERENT for pair in ends], dtype=bool)
    place = {path: number for number, path in enumerate(digest)}
    found_ends = {*ends}
    added = [
        sorted((first[a], first[b]), key=place.__getitem__)
        for (a, b), verdict in said.items()
        if verdict == SAME and a in first and b in first and (a, b) not in found_ends
    ]
    new = pd.DataFrame(added, columns=["path_a", "path_b"]).assign(method=REVIEWED, score=1.0, inliers=0)
    parts = [found[~rejected], new[[*found.columns]]]
    kept = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return Pairs.of(kept), Pairs.of(found[rejected])


def unmatched(sha256: Names, reviews: Reviews) -> int:
    """How many verdicts are of a photograph that is not among these."""
    known = {*sha256}
    return sum(a not in known or b not in known for a, b in zip(reviews.sha256_a, reviews.sha256_b, strict=True))


def said_same(pairs: Pairs, manifest: Manifest, reviews: Reviews) -> npt.NDArray[np.bool_]:
    """Which pairs a person has said to show one lesion; shape (pairs,)."""
    same = reviews.verdict == SAME
    known = {*zip(reviews.sha256_a[same], reviews.sha256_b[same], strict=True)}
    sides = (manifest.at(side).sha256 for side in (pairs.path_a, pairs.path_b))
    return np.array([(min(a, b), max(a, b)) in known for a, b in zip(*sides, strict=True)], dtype=bool)


def review(file: Path) -> int:
    """`dermascreen review FILE`: add the verdicts that a page saved to those of the project, and say what changed."""
    given, ours = Reviews.read(file), _ours()
    for digest in (*given.sha256_a, *given.sha256_b):
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise BadTableError(file, f"holds {digest}, which is no sha256 of a file in hexadecimal digits", CORRECT)
    before = ours.to_frame().set_index(ENDS)
    now = given.to_frame().set_index(ENDS)
    both = before.index.intersection(now.index)
    changed = int((before.loc[both, "verdict"] != now.loc[both, "verdict"]).sum())
    merged = pd.concat([before.drop(both), now]).sort_index().reset_index()
    Reviews.of(merged).write()
    print(
        f"{Reviews.PATH} holds {len(merged)} verdicts: {len(now) - len(both)} new, {changed} changed. Run `dvc repro`, "
        "and commit the file with dvc.lock."
    )
    return 0


def _ours() -> Reviews:
    if not Reviews.PATH.parent.is_dir():
        raise BadTableError(Reviews.PATH, "has no folder to be in", "run the command in the folder that holds dvc.yaml")
    if not Reviews.PATH.exists():
        return Reviews(*(np.array([], dtype=object) for _ in Reviews.meanings()))
    return Reviews.read()
