"""Whether the images are those of the source project, so that its published figures can be compared with ours."""

import hashlib
from collections.abc import Iterable

from dermascreen.core.params import DataParams

SLUG = "fanconic/skin-cancer-malignant-vs-benign"  # on Kaggle
CONTENT = "da09f2f9eaefead3e5eb442d276539a69368c4ae742e44fbc45415327ea4f327"  # of its 3,297 images, by `content`


def content(sha256: Iterable[str]) -> str:
    """A digest of a set of files, whatever their names: sha256 of their sorted `sha256`, one on each line."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(sha256)).encode()).hexdigest()


def is_kaggles(data: DataParams, sha256: Iterable[str]) -> bool:
    """Whether the images are those of SLUG: fetched under that name, or the same content.

    Parameters: `data`, that section of params.yaml; `sha256` of every image.
    """
    return (data.source == "kaggle" and data.slug == SLUG) or content(sha256) == CONTENT
