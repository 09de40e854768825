"""The page on which a person checks the pairs that the audit found, side by side, the weakest evidence first."""

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dermascreen.artifacts.dataset.details import AuditDetails
from dermascreen.artifacts.dataset.lesions import Pairs
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.artifacts.dataset.splits import TEST, TRAIN, VAL
from dermascreen.core.threads import in_threads
from dermascreen.data.photographs.photograph import read_photograph

TEMPLATE = "page.html.jinja"
THUMBNAIL = 112  # pixels of the longer side
ORDER = ("features", "hash", "pixels", "bytes", "declared", "reviewed")  # the pairs that a person should look at first
MOST_SHOWN = 400  # pairs, so that a browser can hold the page


def render_audit(root: Path, manifest: Manifest, pairs: Pairs, against: pd.DataFrame, audit: AuditDetails) -> str:
    """The page as HTML with its thumbnails in it.

    Pairs that nobody has reviewed come first. Of them, pairs that something contradicts come before the others:
    different labels, or names in the data set's own table that keep the two lesions apart, or several patients. Then
    pairs across the source's folders train, val and test, then the rest; in each, pairs found by features, then by
    hashes, pixels and bytes, each from the lowest score, and last those that only the table names.

    Parameters: `root`, the folder of the photographs; `against`, what `pairs.contradictions` gives, and which are
    `reviewed`; `audit`, the counts of what was found.
    """
    first, second = manifest.at(pairs.path_a), manifest.at(pairs.path_b)
    digests = np.sort(np.stack([first.sha256, second.sha256]).astype(str), axis=0)
    sides = zip(first.source_split, second.source_split, strict=True)
    ordered = (
        pairs.to_frame()
        .assign(
            across=first.source_split != second.source_split,
            sides=[" and ".join(sorted(pair, reverse=True)) for pair in sides],
            conflict=first.label != second.label,
            sha256_a=digests[0],
            sha256_b=digests[1],
            **{str(name): flags for name, flags in against.items()},
            contradicted=lambda table: table[["conflict", "ids", "patients"]].any(axis=1),
            doubt=lambda table: table["method"].map({name: place for place, name in enumerate(ORDER)}),
        )
        .sort_values(
            ["reviewed", "contradicted", "across", "doubt", "score"], ascending=[True, False, False, True, True]
        )
    )
    shown = ordered.head(MOST_SHOWN)
    paths = sorted({*shown["path_a"], *shown["path_b"]})
    thumbnails = dict(zip(paths, in_threads(lambda path: _thumbnail(root / path), paths, "page"), strict=True))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        folders=bool(np.isin(manifest.source_split, [TRAIN, VAL, TEST]).any()),
        audit=audit,
        pairs=list(shown.itertuples(index=False)),
        found=len(pairs),
        thumbnails=thumbnails,
    )


def _thumbnail(path: Path) -> str:
    """A data URI."""
    small = read_photograph(path)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
