"""The server's routes: the page, what it offers, and what is made step by step."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from scalespace.errors import InputError
from scalespace.web import requests
from scalespace.web.events import Event, events, read, runs, samples, written
from scalespace.web.guard import Guard
from scalespace.web.library import Library
from scalespace.web.snippets import DRAWING

PAGE = Path(__file__).with_name("page")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
"""Media types of the page's files, by suffix."""
WORKERS = 2
"""Steps that are computed at a time; further ones wait in line, so that all requests get on."""
STREAMS = 64
"""Requests that are answered step by step at a time."""
PATIENCE = 10.0
"""Seconds that the body of a request may take to arrive."""
ROOM, PIXEL = 16_384, 8
"""Bytes of a body besides a drawing, and for each number of one."""
FAILED = "something went wrong in the server, which tells more where it was started"

Made = TypeVar("Made")
log = logging.getLogger(__name__)


def make_app(
    library: Library,
    hosts: Iterable[str] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> ASGIApp:
    """The server for some models.

    Args:
        library: the models.
        hosts: names that it answers to; None: to any.
        stopping: whether answers on their way must end.
    """
    server = _Server(library, stopping)
    routes = [
        *_files(),
        Route("/api/models", server.models, methods=["GET"]),
        Route("/api/judge", server.judge, methods=["POST"]),
        Route("/api/drawing", server.drawing, methods=["POST"]),
        *(Route(f"/api/{kind}", server.steps, methods=["POST"]) for kind in requests.TASKS),
    ]
    handlers = {HTTPException: _refused, InputError: _refused, Exception: _failed}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), hosts)


def _files() -> Iterator[Route]:
    """The page's own files, read once; `index.html` is at the root."""

    def route(name: str, content: bytes, kind: str) -> Route:
        async def answer(request: Request) -> Response:
            return Response(content, media_type=kind)

        return Route(f"/{name}", answer, methods=["GET"])

    for path in sorted(PAGE.iterdir()):
        if (kind := KINDS.get(path.suffix)) is not None:
            yield route("" if path.stem == "index" else path.name, path.read_bytes(), kind)


class _Stream(StreamingResponse):
    """An answer of events.

    Args:
        body: the events, as bytes.
        over: called when it has ended, also where a client left before its first event.
    """

    def __init__(self, body: AsyncIterator[bytes], over: Callable[[], None]) -> None:
        super().__init__(body, media_type="text/event-stream")
        self.over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.over()


class _Server:
    """Answers requests; each blocking call goes to one of `WORKERS` threads."""

    def __init__(self, library: Library, stopping: Callable[[], bool]) -> None:
        self.library, self.stopping = library, stopping
        self.about = {"models": library.about(), "most": requests.IMAGES}
        every = [model.data for model in library.models.values()]
        self.most = ROOM + PIXEL * max(one.height * one.width * one.channels for one in every)
        self.workers = anyio.CapacityLimiter(WORKERS)
        self.streams = 0

    async def models(self, request: Request) -> Response:
        return JSONResponse(self.about)

    async def judge(self, request: Request) -> Response:
        asked = await self._work(requests.reading, await self._body(request))
        return JSONResponse(await self._work(read, asked, self.library))

    async def drawing(self, request: Request) -> Response:
        asked = await self._work(requests.saving, await self._body(request))
        named = {"content-disposition": f'attachment; filename="{DRAWING}"'}
        content = await self._work(samples, asked)
        return Response(content, media_type="application/octet-stream", headers=named)

    async def steps(self, request: Request) -> Response:
        kind = request.url.path.rpartition("/")[2]
        task = await self._work(requests.task, kind, await self._body(request))
        if self.streams >= STREAMS:
            raise HTTPException(503, "too many others are being served: try again in a moment")
        self.streams += 1
        try:
            found = await self._work(runs, task, self.library)
            return _Stream(self._stream(request, events(found)), self._streamed)
        except BaseException:
            self._streamed()
            raise

    def _streamed(self) -> None:
        self.streams -= 1

    async def _stream(
        self, request: Request, made: Generator[Event, None, None]
    ) -> AsyncIterator[bytes]:
        """Events as they come; a client that leaves ends the work at its next step."""
        try:
            while not self.stopping() and not await request.is_disconnected():
                # it waits for the step that is being computed even when it is cancelled, so that
                # the iterator is at rest when it is closed
                event = await self._work(next, made, None)
                if event is None:
                    return
                yield written(event)
        except Exception:
            log.exception("a request failed midway")
            yield written(("error", {"error": FAILED}))
        finally:
            made.close()

    async def _work(self, call: Callable[..., Made], *args: object) -> Made:
        return await to_thread.run_sync(partial(call, *args), limiter=self.workers)

    async def _body(self, request: Request) -> bytes:
        """The body of a request, which must be JSON and of a bounded size.

        Raises:
            HTTPException: it is neither, or takes too long.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # which no page of another site can send unasked
            raise HTTPException(415, "the request must be of type application/json")
        too_large = HTTPException(413, f"the request is larger than {self.most} bytes")
        told = request.headers.get("content-length", "0")
        if not told.isdigit() or int(told) > self.most:
            raise too_large
        body = bytearray()
        try:
            with anyio.fail_after(PATIENCE):
                async for part in request.stream():
                    body += part
                    if len(body) > self.most:
                        raise too_large
        except TimeoutError as error:
            raise HTTPException(408, "the request took too long to arrive") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the request was not finished") from error
        return bytes(body)


async def _refused(request: Request, error: Exception) -> Response:
    """A bad request in one line."""
    if isinstance(error, HTTPException):
        headers = {"retry-after": "5"} if error.status_code == 503 else error.headers
        return JSONResponse({"error": error.detail}, error.status_code, headers)
    line = " ".join(str(error).split())
    # half a surrogate pair, which JSON can name, cannot be sent back as it is
    return JSONResponse({"error": line.encode(errors="backslashreplace").decode()}, 400)


async def _failed(request: Request, error: Exception) -> Response:
    """A mistake of our own, which is told where the server was started, and nowhere else."""
    return JSONResponse({"error": FAILED}, 500)
