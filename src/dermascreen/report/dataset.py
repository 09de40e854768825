"""Whether the images are those of the source project, whose published figures then compare with what is found here."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

SLUG = "fanconic/skin-cancer-malignant-vs-benign"  # on Kaggle
CONTENT = "da09f2f9eaefead3e5eb442d276539a69368c4ae742e44fbc45415327ea4f327"  # of its 3,297 images, as `content` has it


def content(sha256: Iterable[str]) -> str:
    """A name for a set of files, whatever they are called: sha256 of their sorted `sha256`, a line each."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(sha256)).encode()).hexdigest()


def is_kaggles(data: Mapping[str, Any], sha256: Iterable[str]) -> bool:
    """Whether the images are those of SLUG: fetched under that name, or the same content.

    Parameters: `data`, that section of params.yaml; `sha256` of every image.
    """
    return (data["source"] == "kaggle" and data["slug"] == SLUG) or content(sha256) == CONTENT
