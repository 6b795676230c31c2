"""A small server that speaks the parts of the Hugging Face Hub's API that models need.

Repositories of one branch and its commits, private and public ones; small files in the commit
itself, weights through Git LFS; downloads of weights from another host.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_ofitsowner"
Files = dict[str, bytes]


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    commits: list[tuple[str, Files]] = field(
        default_factory=lambda: [("0" * 40, {".gitattributes": b"*.safetensors filter=lfs"})]
    )
    """Names and files; the Hub itself makes the first."""

    def at(self, revision: str) -> tuple[str, Files] | None:
        """A commit and its files, by its name or as the newest; None: there is none."""
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)


class Hub:
    """The server's state.

    Args:
        place: its address.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.repositories: dict[str, Repository] = {}
        self.large: Files = {}
        self.asked: list[str] = []
        self.breaks_at = ""
        """Answers to requests whose path contains this break off half-way."""

    @property
    def elsewhere(self) -> str:
        """The same server under another name, where nobody's token may be sent."""
        return self.place.replace("127.0.0.1", "localhost")


class Refusal(Exception):
    """Ends a request with a status, a word in the header X-Error-Code, and a message."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            self._route(path.strip("/").split("/"), body)
        except Refusal as no:
            content = json.dumps({"error": no.message}).encode()
            code = {"X-Error-Code": no.code} if no.code else {}
            self._send(no.status, content, code | {"X-Error-Message": no.message})

    def _route(self, parts: list[str], body: bytes) -> None:
        match parts:
            case ["api", "repos", "create"]:
                self._create(json.loads(body))
            case ["api", "validate-yaml"]:
                self._json({"errors": [], "warnings": []})
            case ["api", "models", user, name, "preupload", _]:
                self._repository(user, name, writing=True)
                files = json.loads(body)["files"]
                self._json({"files": [self._way(one["path"]) for one in files]})
            case ["api", "models", user, name, "commit", _]:
                self._commit(self._repository(user, name, writing=True), f"{user}/{name}", body)
            case ["api", "models", user, name, "revision", revision]:
                repository = self._repository(user, name)
                sha, files = self._at(repository, revision)
                siblings = [{"rfilename": path} for path in files]
                about = {"id": f"{user}/{name}", "sha": sha, "private": repository.private}
                self._json({**about, "siblings": siblings})
            case ["api", "models", user, name, "tree", revision, *_]:
                _, files = self._at(self._repository(user, name), revision)
                self._json([_entry(path, content) for path, content in files.items()])
            case [user, git, "info", "lfs", "objects", "batch"]:
                self._repository(user, git.removesuffix(".git"), writing=True)
                self._json({"objects": [self._upload(one) for one in json.loads(body)["objects"]]})
            case ["upload", oid]:
                if hashlib.sha256(body).hexdigest() != oid:
                    raise Refusal(400, message="another content was announced")
                self.hub.large[oid] = body
                self._send(200)
            case [user, name, "resolve", revision, path]:
                self._resolve(self._repository(user, name), revision, path)
            case ["large", oid]:
                if "authorization" in self.headers:
                    raise Refusal(400, message="a token was sent to another host")
                self._send(200, self.hub.large[oid])
            case _:
                raise Refusal(404, message=f"no such address: {'/'.join(parts)}")

    def _create(self, asked: dict[str, Any]) -> None:
        self._authorized()
        name = f"{asked.get('organization') or 'owner'}/{asked['name']}"
        url = {"url": f"{self.hub.place}/{name}", "name": name, "id": name}
        if name in self.hub.repositories:
            self._json({**url, "error": "You already created this model repo"}, 409)
            return
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.repositories[name] = Repository(private)
        self._json(url)

    def _authorized(self) -> None:
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, message="Invalid username or password.")

    def _repository(self, user: str, name: str, writing: bool = False) -> Repository:
        """One that whoever asks may see; the Hub tells nobody whether there is another."""
        found = self.hub.repositories.get(f"{user}/{name}")
        allowed = self.headers.get("authorization") == f"Bearer {TOKEN}"
        if found is None or (found.private and not allowed):
            raise Refusal(404 if allowed else 401, "RepoNotFound", "Repository not found")
        if found.gated and not allowed:
            raise Refusal(403, "GatedRepo", "Access to this model is restricted")
        if writing:
            self._authorized()
        return found

    def _at(self, repository: Repository, revision: str) -> tuple[str, Files]:
        if (found := repository.at(revision)) is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _way(self, path: str) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def _upload(self, one: dict[str, Any]) -> dict[str, Any]:
        place = {"href": f"{self.hub.place}/upload/{one['oid']}"}
        return {**one, "actions": {"upload": place}}

    def _commit(self, repository: Repository, name: str, body: bytes) -> None:
        files = dict(repository.commits[-1][1])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        sha = hashlib.sha1(body).hexdigest()
        repository.commits.append((sha, files))
        url = f"{self.hub.place}/{name}/commit/{sha}"
        self._json({"success": True, "commitOid": sha, "commitUrl": url})

    def _resolve(self, repository: Repository, revision: str, path: str) -> None:
        sha, files = self._at(repository, revision)
        if path not in files:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        entry, about = _entry(path, files[path]), {"X-Repo-Commit": sha}
        if "lfs" not in entry:
            self._send(200, files[path], about | {"ETag": f'"{entry["oid"]}"'})
            return
        oid = entry["lfs"]["oid"]
        about |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(files[path]))}
        self._send(302, b"", about | {"Location": f"{self.hub.elsewhere}/large/{oid}"})

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(
        self, status: int, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.breaks_at and self.hub.breaks_at in self.path:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(content)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    """A file as the Hub lists it; weights lie in Git LFS."""
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": oid}
    if path.endswith(".safetensors"):
        large = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": large, "size": len(content), "pointerSize": 130}
    return entry


@contextmanager
def served() -> Iterator[Hub]:
    """A Hub without repositories, on this machine."""
    handler = type("Here", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
        handler.hub = hub
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()
