"""What tests of the page share: a server of four small models, and a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from answers import Events, parsed

import tiny
from browsers import WIDE
from scalespace.data import DataSplits
from scalespace.model import Model, train
from scalespace.web.library import Library

if TYPE_CHECKING:
    from browsing import Visit
    from serving import Endless
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def library(
    trained: Callable[[str], Model], splits: DataSplits, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    """Models of the tiny data; one can be guided."""
    config = replace(
        tiny.CONFIG, stages={**tiny.STAGES, "small": {"objective": {"unlabelled": 0.3}}}
    )
    guided = train("cascaded", splits, config, tmp_path_factory.mktemp("guided"), 0, tiny.CPU)
    models = {name: trained(name) for name in ("baseline", "cascaded", "vae")}
    return Library({**models, "guided": guided})


@pytest.fixture(scope="session")
def client(library: Library) -> Iterator[TestClient]:
    """A client of their server, which answers as on loopback."""
    from starlette.testclient import TestClient

    from scalespace.web.app import make_app

    app = make_app(library, ["localhost", "127.0.0.1", "::1"])
    with TestClient(app, "http://localhost:8000", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Endless:
    """Work that never ends, wherever a server is asked to interpolate."""
    from serving import Endless

    from scalespace.web import app as application

    made = Endless()
    monkeypatch.setattr(application, "runs", made.runs)
    monkeypatch.setattr(application, "events", made.events)
    return made


@pytest.fixture
def ask(client: TestClient) -> Callable[..., Events]:
    """Asks for a task; gives its events."""

    def events(kind: str, **fields: Any) -> Events:
        answer = client.post(f"/api/{kind}", json=fields)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        return parsed(answer.text)

    return events


@pytest.fixture
def visit(request: pytest.FixtureRequest, browser: Any, server: SimpleNamespace) -> Iterator[Visit]:
    """Somebody with the page of the module's `server` open; its parameter is the device."""
    from browsing import Visit

    made = Visit(browser, server.place, **getattr(request, "param", WIDE))
    yield made
    made.leave()
