"""How a program ends: one sentence on stderr and an exit code, whatever a file's name holds."""

import atexit
import errno
import gc
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dermascreen.core.errors import DermascreenError, DiskFullError, FileError


@contextmanager
def reported(name: str) -> Iterator[None]:
    """End the program with one sentence, from `name`: exit code 1 for a problem outside this code, 130 for Ctrl-C.

    Characters that the encoding of standard output lacks are escaped: a file's name is no reason to stop.
    The process then ends without a last search for cycles among all that was imported, which takes seconds.
    """
    atexit.register(_leave_cycles)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except DermascreenError as error:
        mistake = error
    except KeyboardInterrupt:
        print(f"{name}: interrupted.", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # the reader of stdout, such as `head`, has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # which Python flushes when it exits
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            mistake = DiskFullError(str(error.filename or Path.cwd()))
        elif error.filename is not None:
            mistake = FileError(error)
        else:
            raise
    else:
        return
    print(f"{name}: {visible(str(mistake))}", file=sys.stderr)
    raise SystemExit(1) from mistake


def _leave_cycles() -> None:
    """Let nothing be freed that is part of a cycle. Triton's binding would then report its objects as leaks, aloud."""
    gc.freeze()
    if "triton._C.libtriton" in sys.modules:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def visible(text: str) -> str:
    """`text` in one line: control characters, and bytes of a file's name that are not UTF-8, as escapes."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", _escaped, encodable(text))


def encodable(text: str) -> str:
    """`text` with bytes of a file's name that are not UTF-8 as escapes."""
    return re.sub(r"[\ud800-\udfff]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    byte = ord(match[0]) - 0xDC00  # Python's code for a byte of a name that does not decode
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else match[0].encode("unicode_escape").decode()  # noqa: PLR2004
