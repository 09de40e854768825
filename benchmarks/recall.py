"""How many of the pairs that a data set's own table declares to be one lesion the audit finds by what the images show.

`.venv/bin/python benchmarks/recall.py PROJECT ...`, each the folder of a project in which `dvc repro download` was run
on data whose table names lesions. The names are hidden from the audit. A found pair that the table keeps apart counts
as false, and is named: look at it, for tables have errors too.

Beside the audit stand what a perceptual hash of common size finds, and the ceiling of the index: how many of the
declared pairs the audit would accept if every one was proposed to it.
"""

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from dermascreen.artifacts.dataset.manifest import RAW, Manifest
from dermascreen.artifacts.dataset.metadata import Metadata
from dermascreen.core.params import AuditParams
from dermascreen.core.tables import Names
from dermascreen.core.threads import in_threads
from dermascreen.data.lesions.arithmetic import plain_opencv
from dermascreen.data.lesions.features import extract
from dermascreen.data.lesions.index import PAIR
from dermascreen.data.lesions.pairs import find_pairs
from dermascreen.data.lesions.verification import verify
from dermascreen.data.photographs.photograph import read_photograph
from dermascreen.evidence.intervals import wilson

PARAMS = AuditParams(max_distance=15, min_score=9.0)  # as in params.yaml
COMMON = 8  # a side of a hash of 64 bits, and the bits that are commonly let differ

Ends = set[tuple[str, str]]  # two paths, in the order of the manifest


def declared_pairs(lesion: "pd.Series[str]") -> Ends:
    """Every two images, by their paths, of one named lesion."""
    groups = lesion[lesion != ""].groupby(lesion).groups.values()
    return {pair for group in groups for pair in itertools.combinations(group, 2)}


def accepted(root: Path, proposed: Ends) -> Ends:
    """Which of the proposed pairs verification accepts."""
    paths = sorted({path for pair in proposed for path in pair})
    place = {path: number for number, path in enumerate(paths)}
    rows = pd.DataFrame([(*sorted((place[a], place[b])), False) for a, b in proposed], columns=PAIR)
    with threadpool_limits(1), plain_opencv(), tempfile.TemporaryFile() as file:
        found = verify(root, paths, extract(root, paths, file), rows, PARAMS.min_score)
        ends = {frozenset((paths[match.first], paths[match.second])) for match in found if match.agrees}
    return {pair for pair in proposed if frozenset(pair) in ends}


def hashed(root: Path, paths: Names) -> Ends:
    """The pairs whose 64-bit perceptual hashes are close."""
    bits = np.array(in_threads(lambda path: imagehash.phash(read_photograph(root / path)).hash.ravel(), paths, "hash"))
    near = {
        (i, j) for i in range(len(bits)) for j in i + 1 + np.flatnonzero((bits[i + 1 :] != bits[i]).sum(1) <= COMMON)
    }
    return {(paths[int(i)], paths[int(j)]) for i, j in near}


def share(count: int, total: int) -> str:
    low, high = wilson(count, total)
    return f"{count} of {total}, {count / max(total, 1):.3f} ({low:.3f} to {high:.3f})"


def measure(project: Path) -> None:
    """Print what is found in one project."""
    manifest = Manifest.read(project / Manifest.PATH)
    root = project / RAW
    lesion = pd.Series(Metadata.read(project / Metadata.PATH).at(manifest.path)["lesion"], manifest.path)
    declared, named = declared_pairs(lesion), {*lesion.index[lesion != ""]}
    start = time.perf_counter()
    pairs = find_pairs(root, manifest.path, manifest.sha256, manifest.label, PARAMS, declared=[""] * len(manifest))
    seconds = time.perf_counter() - start
    print(f"{project.name}: {len(manifest)} images, {len(named)} of named lesions; audit {seconds:.1f} s")
    found = {*zip(pairs.path_a, pairs.path_b, strict=True)}
    for name, ends in (("audit", found), (f"hash of {COMMON * COMMON} bits", hashed(root, manifest.path))):
        judged = {pair for pair in ends if named.issuperset(pair)}
        right = len(judged & declared)
        print(f"  {name}: recall {share(right, len(declared))}; precision {share(right, len(judged))}")
    print(f"  audit, if every declared pair was proposed: recall {share(len(accepted(root, declared)), len(declared))}")
    for a, b in sorted({pair for pair in found if named.issuperset(pair)} - declared):
        print(f"  kept apart by the table: {a} ({lesion[a]}) and {b} ({lesion[b]})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="+")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for project in parser.parse_args().project:
        measure(project)


if __name__ == "__main__":
    main()
