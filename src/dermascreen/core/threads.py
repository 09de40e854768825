"""Work on many items with every core, in threads: for libraries that work outside the interpreter lock."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    name: str,
    unit: str = "image",
    *,
    prepare: Callable[[], object] | None = None,
) -> list[Result]:
    """What `function` returns for each of `items`, in their order; each thread calls `prepare` first.

    `name` stands before the progress bar, which counts `unit`s.
    """
    items = list(items)
    with ThreadPoolExecutor(cores(), initializer=prepare) as pool:
        return list(tqdm(pool.map(function, items), name, len(items), unit=unit, disable=None))
