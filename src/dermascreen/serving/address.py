"""Where a page can be opened."""

import os
import socket

from dermascreen.errors import InputError


def require_free(host: str, port: int) -> None:
    """Raise InputError where nothing can listen: before a model is read, or an address that does not work printed."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        problem = os.strerror(number) if number and number > 0 else getattr(error, "strerror", None) or error
        raise InputError(f"The page cannot be at {host}:{port} ({problem}); name another --port or --host.") from None
