"""The page on which a person checks the pairs that the audit found, side by side, the weakest evidence first."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dermascreen.artifacts.dataset.details import AuditDetails
from dermascreen.artifacts.dataset.lesions import Pairs
from dermascreen.artifacts.dataset.manifest import Manifest
from dermascreen.data.photographs.photograph import read_photograph

TEMPLATE = "page.html.jinja"
THUMBNAIL = 112  # pixels of the longer side
MOST_SHOWN = 400  # pairs, so that a browser can hold the page


def render_audit(root: Path, manifest: Manifest, pairs: Pairs, audit: AuditDetails) -> str:
    """The page as HTML with its thumbnails in it.

    Pairs across the source's folders train, val and test come first, then the rest; in both, pairs found by features,
    then by hashes, pixels and bytes, each from the lowest score.

    Parameters: `root`, the folder of the photographs; `audit`, the counts of what was found.
    """
    first, second = manifest.at(pairs.path_a), manifest.at(pairs.path_b)
    sides = zip(first.source_split, second.source_split, strict=True)
    ordered = (
        pairs.to_frame()
        .assign(
            across=first.source_split != second.source_split,
            sides=[" and ".join(sorted(pair, reverse=True)) for pair in sides],
            conflict=first.label != second.label,
            doubt=lambda table: table["method"].map({"features": 0, "hash": 1, "pixels": 2, "bytes": 3}),
        )
        .sort_values(["across", "doubt", "score"], ascending=[False, True, True])
    )
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
        audit=audit, pairs=list(shown.itertuples(index=False)), found=len(pairs), thumbnails=thumbnails
    )


def _thumbnail(path: Path) -> str:
    """A data URI."""
    small = read_photograph(path)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
