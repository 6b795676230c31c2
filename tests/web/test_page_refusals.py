"""What the page's server refuses, each in one line; who it answers to; and its headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the page needs the extra 'web'")
pytest.importorskip("httpx2", reason="starlette's test client needs httpx2")

from starlette.testclient import TestClient

from scalespace.web import app as application
from scalespace.web.app import make_app
from scalespace.web.guard import answers_to, named
from scalespace.web.library import Library

JSON = {"content-type": "application/json"}
IMAGE = [[0] * 12] * 12
SAMPLE: dict[str, Any] = {"models": ["cascaded"], "labels": [1], "seed": 0}
REDRAW: dict[str, Any] = {"model": "cascaded", "image": IMAGE, "label": 1, "seed": 0, "state": 1}
FILL: dict[str, Any] = {"model": "cascaded", "image": IMAGE, "label": 1, "seed": 0, "keep": "top"}
WAY: dict[str, Any] = {"model": "cascaded", "label": 1, "count": 3, "seed": 0, "to_seed": 1}

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("sample", {**SAMPLE, "models": []}, "models must be a list of 1 to 8 models, got a list of 0"),
    ("sample", {**SAMPLE, "models": ["cascaded"] * 9}, "1 to 8 models"),
    ("sample", {**SAMPLE, "models": "cascaded"}, "models must be a list"),
    ("sample", {**SAMPLE, "models": ["cascade"]}, "did you mean 'cascaded'"),
    ("sample", {**SAMPLE, "models": ["../cascaded"]}, "unknown model"),
    ("sample", {**SAMPLE, "models": [{"nam": "cascaded"}]}, "models[0]: name must be a text"),
    (
        "sample",
        {**SAMPLE, "models": [{"name": "cascaded", "a": 1}]},
        'models[0]: unknown field "a"',
    ),
    ("sample", {**SAMPLE, "models": [7]}, "models[0] must be a JSON object, got 7"),
    ("sample", {**SAMPLE, "models": [{"name": "cascaded", "steps": 0}]}, "from 1 to 200, got 0"),
    ("sample", {**SAMPLE, "models": [{"name": "cascaded", "steps": 50}]}, "50 calls are asked for"),
    ("sample", {**SAMPLE, "models": [{"name": "cascaded", "steps": {}}]}, "1 to 16 segments"),
    (
        "sample",
        {**SAMPLE, "models": [{"name": "cascaded", "steps": {"a": 1}}]},
        "unknown stage 'a'",
    ),
    ("sample", {**SAMPLE, "models": [{"name": "cascaded", "steps": {"small": "1"}}]}, 'got "1"'),
    ("sample", {**SAMPLE, "models": [{"name": "cascaded", "steps": True}]}, "got true"),
    ("sample", {**SAMPLE, "models": [{"name": "vae", "steps": 1}]}, "is no process"),
    ("sample", {**SAMPLE, "models": [{"name": "vae", "temperature": 1}]}, "unknown part"),
    ("sample", {**SAMPLE, "models": [{"name": "cascaded", "guidance": 1}]}, "cannot be guided"),
    (
        "sample",
        {**SAMPLE, "models": [{"name": "cascaded", "guidance": -1}]},
        "from 0 to 20, got -1",
    ),
    ("sample", {**SAMPLE, "models": [{"name": "cascaded", "temperature": 9}]}, "0.05 to 3, got 9"),
    ("sample", {**SAMPLE, "labels": []}, "labels must be a list of 1 to 64 classes"),
    ("sample", {**SAMPLE, "labels": [1] * 65}, "got a list of 65"),
    ("sample", {**SAMPLE, "labels": [3]}, "label 3 is none of this model's classes"),
    ("sample", {**SAMPLE, "labels": [1, "x"]}, 'labels must be whole numbers from 0 on, got "x"'),
    ("sample", {**SAMPLE, "labels": [-1]}, "labels must be whole numbers"),
    ("sample", {**SAMPLE, "labels": [10**30]}, "labels must be whole numbers"),
    ("sample", {**SAMPLE, "labels": 1}, "labels must be a list"),
    ("sample", {**SAMPLE, "models": ["cascaded", "vae"], "labels": [1] * 33}, "are 66 images"),
    ("sample", {**SAMPLE, "seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
    ("sample", {**SAMPLE, "seed": 1.5}, "got 1.5"),
    ("sample", {**SAMPLE, "seed": True}, "got true"),
    ("sample", {**SAMPLE, "seed": None}, "got nothing"),
    ("sample", {**SAMPLE, "seed": "x" * 5000}, "..."),
    ("sample", {**SAMPLE, "more": 1}, 'unknown field "more"'),
    ("redraw", {**REDRAW, "state": None}, "state must be a number from 0 to 10000, got nothing"),
    ("redraw", {**REDRAW, "state": 99}, "has states 1 to 2 to begin from, got 99"),
    ("redraw", {**REDRAW, "state": 0}, "has states 1 to 2 to begin from, got 0"),
    ("redraw", {**REDRAW, "state": 1.5}, "to begin from, got 1.5"),
    ("redraw", {**REDRAW, "state": -1}, "state must be a number"),
    ("redraw", {**REDRAW, "segment": "smal"}, "did you mean 'small'"),
    ("redraw", {**REDRAW, "segment": ""}, "segment must be a text"),
    ("redraw", {**REDRAW, "model": "vae"}, "begins from noise alone"),
    ("redraw", {**REDRAW, "label": 9}, "label 9 is none"),
    ("redraw", {**REDRAW, "label": "1"}, "label must be a whole number"),
    ("redraw", {**REDRAW, "image": [[0] * 28] * 28}, "28 x 28 pixels, 12 x 12 are needed"),
    ("redraw", {**REDRAW, "image": [[0] * 12] * 11}, "11 x 12 pixels"),
    ("redraw", {**REDRAW, "image": [[0] * 12] * 11 + [[0]]}, "rows of one length"),
    ("redraw", {**REDRAW, "image": []}, "rows of one length"),
    ("redraw", {**REDRAW, "image": [[]]}, "rows of one length"),
    ("redraw", {**REDRAW, "image": "abc"}, "rows of one length"),
    ("redraw", {**REDRAW, "image": [[256] * 12] * 12}, "from 0 to 255"),
    ("redraw", {**REDRAW, "image": [[0.5] * 12] * 12}, "from 0 to 255"),
    ("redraw", {**REDRAW, "image": [[None] * 12] * 12}, "from 0 to 255"),
    ("redraw", {**REDRAW, "image": [[[1, 2, 3]] * 12] * 12}, "images are coloured, grey ones are"),
    ("redraw", {**REDRAW, "image": [[[1, 2]] * 12] * 12}, "three such numbers each"),
    ("redraw", {**REDRAW, "image": [[[1, 2, 256]] * 12] * 12}, "three such numbers each"),
    ("redraw", {**REDRAW, "image": [[[1, 2, 3], 4]] * 12}, "three such numbers each"),
    ("redraw", {**REDRAW, "image": [[4, [1, 2, 3]]] * 12}, "three such numbers each"),
    ("redraw", {**REDRAW, "image": [[[[1], 2, 3]] * 12] * 12}, "three such numbers each"),
    ("fill", {**FILL, "image": [[[1, 2, 3]] * 12] * 12}, "images are coloured, grey ones are"),
    ("fill", {**FILL, "keep": "middle"}, "keep takes top, bottom, left, right"),
    ("fill", {**FILL, "keep": "0:99,0:1"}, "rows 0:12"),
    ("fill", {**FILL, "keep": 3}, "keep must be a text"),
    ("fill", {**FILL, "model": "vae"}, "no process over pixels"),
    ("enlarge", {**FILL}, "unknown field"),
    ("enlarge", {k: v for k, v in FILL.items() if k != "keep"} | {"model": "baseline"}, "choose a"),
    ("interpolate", {**WAY, "count": 1}, "count must be a whole number from 2 to 64"),
    ("interpolate", {**WAY, "count": 65}, "from 2 to 64, got 65"),
    ("interpolate", {**WAY, "to_seed": 2**32}, "to_seed must be"),
    ("interpolate", {**WAY, "label": 7}, "label 7 is none"),
    ("judge", {"model": "cascaded", "image": IMAGE}, "no judge for mnist (own files)"),
    ("judge", {"model": "nobody", "image": IMAGE}, "unknown model 'nobody'"),
    ("judge", {"image": IMAGE}, "model must be a text"),
    ("drawing", {"image": IMAGE}, "label must be"),
    ("drawing", {"image": IMAGE, "label": 1, "path": "/etc/x"}, 'unknown field "path"'),
]


def told(answer: Any) -> str:
    """The one line of a refusal."""
    assert list(answer.json()) == ["error"]
    line = answer.json()["error"]
    assert "\n" not in line
    assert 0 < len(line) < 400
    assert "Traceback" not in answer.text
    return str(line)


@pytest.mark.parametrize(("kind", "body", "says"), BAD)
def test_bad_requests(kind: str, body: dict[str, Any], says: str, client: TestClient) -> None:
    answer = client.post(f"/api/{kind}", json=body)
    assert answer.status_code == 400
    assert says in told(answer)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[1]", "the request must be a JSON object, got a list of 1"),
        (b"null", "must be a JSON object, got null"),
        (b'{"seed": NaN}', "NaN is no number"),
        (b'{"seed": 1e999}', "models must be a list"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "no JSON: a number of 5000 digits"),
        (b"[" * 10_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_object(content: bytes, says: str, client: TestClient) -> None:
    answer = client.post("/api/sample", content=content, headers=JSON)
    assert answer.status_code == 400
    assert says in told(answer)


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("sample", SAMPLE, "models"),
        ("redraw", REDRAW, "segment"),
        ("fill", FILL, "keep"),
        ("judge", {"model": "", "image": IMAGE}, "model"),
    ],
)
def test_half_a_surrogate_pair(
    kind: str, body: dict[str, Any], field: str, client: TestClient
) -> None:
    half: Any = ["\ud800"] if field == "models" else "\ud800"
    content = json.dumps({**body, field: half}).encode()
    answer = client.post(f"/api/{kind}", content=content, headers=JSON)
    assert answer.status_code == 400
    assert "\\ud800" in told(answer)


def test_a_number_that_is_not_finite(client: TestClient) -> None:
    body = json.dumps(REDRAW).replace('"state": 1', '"state": 1e999')
    answer = client.post("/api/redraw", content=body, headers=JSON)
    assert answer.status_code == 400
    assert "not finite" in told(answer)


@pytest.mark.parametrize("kind", ["sample", "redraw", "judge", "drawing"])
def test_requests_that_are_too_large(kind: str, client: TestClient) -> None:
    """Whether they say so, or not."""
    large = b" " * 100_000
    answer = client.post(f"/api/{kind}", content=large, headers=JSON)
    assert answer.status_code == 413
    assert "is larger than" in told(answer)
    taken = 0

    def parts() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b" " * 1000

    answer = client.post(f"/api/{kind}", content=parts(), headers=JSON)
    assert answer.status_code == 413
    told(answer)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_what_a_foreign_page_could_send_unasked(kind: str | None, client: TestClient) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/api/sample", content=json.dumps(SAMPLE), headers=headers)
    assert answer.status_code == 415
    told(answer)


def test_other_paths_and_methods(client: TestClient) -> None:
    for path in ("/nothing", "/api/train", "/index.html", "/page/main.js", "/../app.py", "/api/"):
        answer = client.get(path)
        assert answer.status_code == 404
        told(answer)
    for call in (client.get("/api/sample"), client.put("/"), client.post("/api/models")):
        assert call.status_code == 405
        told(call)


def test_no_more_than_it_can_serve(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "STREAMS", 0)
    answer = client.post("/api/sample", json=SAMPLE)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    told(answer)


def test_a_mistake_of_its_own_is_told_in_a_line(
    client: TestClient, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first step, and after."""

    def broken(*_: object) -> None:
        raise KeyError("a secret")

    with monkeypatch.context() as patch:
        patch.setattr(library, "model", broken)
        answer = client.post("/api/sample", json=SAMPLE)
    assert answer.status_code == 500
    assert "secret" not in told(answer)
    assert answer.headers["content-security-policy"]
    monkeypatch.setattr("scalespace.web.events._step", broken)
    answer = client.post("/api/sample", json=SAMPLE)
    assert answer.status_code == 200
    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith("event: error")
    assert "secret" not in last


# Who it answers to


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_its_own_hosts(host: str, client: TestClient) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.nip.io", "10.0.0.1", "[::2]"]
)
@pytest.mark.parametrize("path", ["/", "/api/models", "/api/sample"])
def test_foreign_hosts(host: str, path: str, client: TestClient) -> None:
    answer = client.get(path, headers={"host": host})
    assert answer.status_code == 421
    told(answer)


def test_any_host_where_others_may_come(library: Library) -> None:
    client = TestClient(make_app(library, None), "http://digits.example")
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("address", "own"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_who_may_ask(address: str, own: bool) -> None:
    found = answers_to("digits", address)
    assert (found is not None) == own
    assert found is None or {"digits", "localhost", address} <= set(found)
    assert named("Digits:80") == "digits"


# The page and its headers


@pytest.mark.parametrize("path", ["/", "/api/models", "/nothing"])
def test_headers(path: str, client: TestClient) -> None:
    headers = client.get(path).headers
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


def test_the_page_needs_nothing_else(client: TestClient) -> None:
    """Its own files, no other server, and nothing that its own policy would stop."""
    files = {path.name: path.read_text(encoding="utf-8") for path in application.PAGE.iterdir()}
    page = files["index.html"]
    own = set(re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']*)""", page))
    own |= set(re.findall(r"""from "\./([^"]*)";""", "".join(files.values())))
    assert own == files.keys() - {"index.html"}
    for name in own:
        answer = client.get(f"/{name}")
        kind = {"css": "text/css", "js": "text/javascript"}[name.rpartition(".")[2]]
        assert answer.headers["content-type"].startswith(kind)
        assert answer.text == files[name]
    assert client.get("/").text == page
    assert not re.findall(r"""<[^>]*\s(?:style|on\w+)=""", page)
    for text in files.values():
        assert "//" not in re.sub(r"(?m)(^|\s)//.*$", "", text)  # comments aside: no address
        assert "innerHTML" not in text


def test_nothing_is_written(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert client.post("/api/sample", json=SAMPLE).status_code == 200
    assert client.post("/api/drawing", json={"image": IMAGE, "label": 1}).status_code == 200
    assert not list(tmp_path.iterdir())
