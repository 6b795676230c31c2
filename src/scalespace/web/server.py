"""Listens at an address, and serves an app there until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import uvicorn

from scalespace.errors import InputError
from scalespace.web.app import make_app
from scalespace.web.library import Library

CONNECTIONS = 256
"""How many are open at a time; further ones are told to come back."""
SECONDS = 5
"""How long an interrupted server waits for answers on their way."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Args:
        host: a name or an IP address of this machine.
        port: 0 for any that is free.

    Raises:
        InputError: the port is taken or needs other rights, or there is no such address here.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot listen at {host}, port {port}: {reason}: choose another --port or --host"
        ) from error


def address(host: str, listening: socket.socket) -> str:
    """What to type into a browser."""
    port = listening.getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def make_server(library: Library, hosts: Iterable[str] | None) -> uvicorn.Server:
    """A server whose `run(sockets=...)` serves until it is interrupted.

    Answers on their way then end at their next step.

    Args:
        library, hosts: as for `make_app`.
    """

    def stopping() -> bool:
        return server.should_exit

    config = uvicorn.Config(
        make_app(library, hosts, stopping),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=SECONDS,
    )
    server = uvicorn.Server(config)
    return server
