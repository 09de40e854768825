"""Photographs of one lesion, found by local features, an inverted index and geometric verification.

The same photographs give the same pairs whichever instructions the processor has, with one thread or many.
"""

import tempfile
from pathlib import Path

from threadpoolctl import threadpool_limits

from dermascreen.core.tables import Names
from dermascreen.data.lesions.arithmetic import plain_opencv
from dermascreen.data.lesions.features import extract
from dermascreen.data.lesions.index import candidates
from dermascreen.data.lesions.verification import Match, verify


def find_matches(root: Path, paths: Names, min_score: float) -> list[Match]:
    """The pairs among images `paths` under `root` that show one lesion, with a score of at least `min_score`."""
    with threadpool_limits(1), plain_opencv(), tempfile.TemporaryFile() as file:  # our own threads keep all cores busy
        features = extract(root, paths, file)
        return [match for match in verify(root, paths, features, candidates(features), min_score) if match.agrees]
