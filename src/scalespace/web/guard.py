"""What stands before the page: which hosts it answers to, and the headers of every answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
"""The Content-Security-Policy: files of this server alone, pictures that the page makes itself."""


class Guard:
    """Refuses requests for foreign hosts, and adds the headers of a closed page to every answer.

    A page of another site may get its own name to mean this machine (DNS rebinding), and then read
    what is served here. Its requests still name that site as their host.

    Args:
        app: what is guarded.
        hosts: names that it answers to; None: to any.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None) -> None:
        self.app = app
        self.hosts = None if hosts is None else {host.lower() for host in hosts}
        self.headers = {
            "content-security-policy": "; ".join(f"{name} {rule}" for name, rule in POLICY.items()),
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
            "cache-control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
            await send(message)

        app = self.app
        if self.hosts is not None and named(Headers(scope=scope).get("host", "")) not in self.hosts:
            text = "this server answers to its own address alone: see what 'scalespace serve' says"
            app = JSONResponse({"error": text}, 421)
        await app(scope, receive, closed)


def named(host: str) -> str:
    """The host in a Host header, in lower case, without port and brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def answers_to(host: str, address: str) -> tuple[str, ...] | None:
    """The names that a server may be asked by.

    Args:
        host: as its user names it.
        address: the IP address that it listens at.

    Returns:
        None, which is any, unless the address can be reached from this machine alone.
    """
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        return None
    return (*LOOPBACK, host, address)
