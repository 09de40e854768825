"""The page on which a person checks the pairs that the audit found: side by side, the weakest first."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dermascreen.images.photograph import read_photograph

TEMPLATE = "audit.html.jinja"
THUMBNAIL = 112  # pixels of the longer side
MOST_SHOWN = 400  # pairs, so that a browser can hold the page


def render_audit(root: Path, manifest: pd.DataFrame, pairs: pd.DataFrame, metrics: Mapping[str, Any]) -> str:
    """The page as HTML with its thumbnails in it.

    Pairs across the source's folders train, val and test come first; then what features found, then hashes, pixels and
    bytes, each from the lowest score.

    Parameters: `manifest` with path, label and source_split; `pairs` as `images.lesions.find_pairs` returns them;
    `metrics` as metrics/audit.json holds them.
    """
    by_path = manifest.set_index("path")
    sides = [by_path["source_split"].reindex(pairs[end]).to_numpy() for end in ("path_a", "path_b")]
    ordered = pairs.assign(
        across=sides[0] != sides[1],
        sides=[" and ".join(sorted(pair, reverse=True)) for pair in zip(*sides, strict=True)],
        conflict=by_path["label"].reindex(pairs["path_a"]).to_numpy()
        != by_path["label"].reindex(pairs["path_b"]).to_numpy(),
        doubt=pairs["method"].map({"features": 0, "hash": 1, "pixels": 2, "bytes": 3}),
    ).sort_values(["across", "doubt", "score"], ascending=[False, True, True])
    shown = ordered.head(MOST_SHOWN)
    thumbnails = {path: _thumbnail(root / path) for path in sorted({*shown["path_a"], *shown["path_b"]})}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        metrics=metrics, pairs=shown.to_dict("records"), found=len(pairs), thumbnails=thumbnails
    )


def _thumbnail(path: Path) -> str:
    """A data URI."""
    small = read_photograph(path)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
