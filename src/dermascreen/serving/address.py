"""Where a page can be opened."""

import os
import socket

from dermascreen.core.errors import InputError


def page_at(host: str, port: int) -> str:
    """The address of a page that is served at `host` and `port`; an IPv6 host stands in brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def require_free(host: str, port: int) -> None:
    """Raise InputError if nothing can listen there, before a model is read and an address is printed."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        problem = os.strerror(number) if number and number > 0 else getattr(error, "strerror", None) or error
        raise InputError(f"{host}:{port} cannot be used ({problem}); choose another --port or --host.") from None
