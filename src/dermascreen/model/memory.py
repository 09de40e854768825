"""How the C library hands memory back."""

import ctypes
import functools

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of <malloc.h>


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep what it frees instead of giving it back to the system and asking for it again.

    A step frees and asks for the same gigabytes of activations; without this, the system clears every page of them
    each time. docs/benchmarks.md says what that is worth. Does nothing where the library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_MMAP_MAX, 0)
