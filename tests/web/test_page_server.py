"""The server at work: many at once, those who leave, its end, and the command that starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the page needs the extra 'web'")
pytest.importorskip("uvicorn", reason="the page needs the extra 'web'")

from answers import finished, grey, parsed
from serving import LONG, Endless, serving

from scalespace.cli import main
from scalespace.web.app import WORKERS
from scalespace.web.events import Run, events, runs
from scalespace.web.library import KEPT, Choice, Library
from scalespace.web.requests import Sampling
from scalespace.web.server import listen

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def server(library: Library) -> Iterator[SimpleNamespace]:
    """A server at work in a thread."""
    with serving(library) as found:
        yield found


def post(place: str, kind: str, **fields: Any) -> str:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{place}api/{kind}", json.dumps(fields).encode(), headers)
    with urllib.request.urlopen(request, timeout=LONG) as answer:
        return str(answer.read().decode())


def leave_open(port: int) -> socket.socket:
    """Begins an endless request, and reads the first steps of its answer."""
    body = json.dumps({"model": "cascaded", "label": 1, "count": 2, "seed": 0, "to_seed": 1})
    head = f"POST /api/interpolate HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    client = socket.create_connection(("127.0.0.1", port), timeout=LONG)
    client.sendall((head + body).encode())
    read = b""
    while b"event: wait" not in read:
        part = client.recv(1000)
        assert part
        read += part
    assert read.startswith(b"HTTP/1.1 200")
    return client


def test_a_client_that_leaves_ends_the_work(server: SimpleNamespace, endless: Endless) -> None:
    client = leave_open(server.port)
    assert (endless.begun, endless.closed) == (1, 0)
    client.close()
    assert endless.end.wait(LONG)
    before = endless.steps
    post(server.place, "sample", models=["baseline"], labels=[1], seed=0)
    assert endless.steps == before


def test_the_end_of_the_server_ends_the_work(server: SimpleNamespace, endless: Endless) -> None:
    with leave_open(server.port):
        server.stop()
        assert endless.end.wait(LONG)


def test_ten_at_once(
    server: SimpleNamespace,
    endless: Endless,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside three that never end; few steps are computed at a time, and all images are right."""
    lock, now, most = threading.Lock(), 0, 0
    advance = Run.advance

    def counted(run: Run) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        try:
            return advance(run)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(Run, "advance", counted)

    def one(seed: int) -> np.ndarray:
        choice = {"name": "cascaded", "steps": 1 + seed % 2}
        text = post(server.place, "sample", models=[choice], labels=[2, 0], seed=seed)
        return finished(parsed(text))

    others = [leave_open(server.port) for _ in range(3)]
    with ThreadPoolExecutor(10) as people:
        found = list(people.map(one, range(10)))
    for client in others:
        client.close()
    assert 1 <= most <= WORKERS
    model = library.plain("cascaded")
    for seed, images in enumerate(found):
        expected = model.sample([2, 0], seed, steps=1 + seed % 2).images
        np.testing.assert_array_equal(images, grey(expected))


def test_closed_events_leave_no_process(library: Library) -> None:
    found = runs(Sampling((Choice("cascaded"), Choice("baseline")), (1,), 0), library)
    going = events(found)
    assert [next(going)[0] for _ in range(4)] == ["start", "start", "step", "step"]
    going.close()
    assert all(run.advance() is None for run in found)


def test_a_library_keeps_few_variants(library: Library) -> None:
    for k in range(KEPT + 3):
        library.model(Choice("baseline", temperature=1 + k / 100))
    assert len(library._variants) <= KEPT
    one = library.model(Choice("baseline", steps=1))
    assert library.model(Choice("baseline", steps=1)) is one


# The command


def refused(capsys: Capture, *words: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["serve", *map(str, words), "--no-browser"])
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    (line,) = err.splitlines()
    return line


def test_a_port_that_is_taken(capsys: Capture) -> None:
    with listen("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        line = refused(capsys, "--port", port)
    assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--port", 70_000], "--port must lie from 0 to 65535, got 70000"),
        (["--port", "-1"], "--port must lie from 0 to 65535, got -1"),
        (["--port", "x"], "Expected a int"),
        (["--host", "192.0.2.1", "--port", 0], "cannot listen at 192.0.2.1"),
        (["cascade", "--port", 0], "did you mean 'cascaded'?"),
        (["pyramid", "--port", 0], "no trained 'pyramid' ships with the package"),
        (["--hots", "a"], "did you mean --host?"),
    ],
)
def test_bad_options(words: list[object], says: str, capsys: Capture) -> None:
    assert says in refused(capsys, *words)


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_without_the_extra(name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    line = refused(capsys, "--port", 0)
    assert f"a page needs the package {name}: pip install" in line
    assert "extra 'web'" in line


class Window:
    def __init__(self) -> None:
        self.opened: list[str] = []

    def open(self, place: str) -> None:
        self.opened.append(place)


def test_the_browser(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opens where there is a window, and the page is this machine's own."""
    quiet = SimpleNamespace(run=lambda sockets: None)
    monkeypatch.setattr("scalespace.web.server.make_server", lambda *_: quiet)
    window = Window()
    monkeypatch.setattr(webbrowser, "get", lambda: window)
    main(["serve", "small", "--port", "0"])
    out = capsys.readouterr().out
    (place,) = window.opened
    assert out == f"small: {place}\n"
    assert place.startswith("http://127.0.0.1:")
    main(["serve", "small", "--port", "0", "--no-browser"])
    main(["serve", "small", "--port", "0", "--host", "0.0.0.0"])
    assert "whoever reaches this machine can use the page" in capsys.readouterr().err
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("echo"))
    main(["serve", "small", "--port", "0"])
    assert window.opened == [place]


def test_from_start_to_interrupt() -> None:
    """As a user runs it, with a shipped model."""
    command = [sys.executable, "-m", "scalespace", "serve", "small", "--port", "0", "--no-browser"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=dict(os.environ), **pipes) as run:
        assert run.stdout is not None
        name, _, place = run.stdout.readline().strip().partition(": ")
        assert name == "small"
        with urllib.request.urlopen(place, timeout=LONG) as answer:
            assert b"<title>scalespace" in answer.read()
        text = post(place, "sample", models=["small"], labels=[7], seed=1)
        assert finished(parsed(text)).shape == (1, 28, 28)
        image = finished(parsed(text))[0].tolist()
        read = json.loads(post(place, "judge", model="small", image=image))
        assert max(read["probabilities"]) == read["probabilities"][7]
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=LONG)
    assert (run.returncode, err) == (0, "stopped\n")
