"""How the C library returns memory to the system."""

import ctypes
import functools

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of <malloc.h>


@functools.cache
def keep_freed_memory() -> None:
    """Make this process keep freed memory instead of returning it to the system and requesting it again.

    Every step frees and requests the same gigabytes of activations; without this, the system clears every page of them
    each time. docs/benchmarks.md shows the gain. Does nothing if the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_MMAP_MAX, 0)
