"""The Hub without a network: its own cache on disk, and a stand-in for its API."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import yaml
from huggingface_hub import errors

from scalespace.errors import InputError
from scalespace.hub import remote
from scalespace.model import Model

Trained = Callable[[str], Model]
REPO, COMMIT = "user/digits", "0123456789abcdef0123456789abcdef01234567"
OFFLINE = {"local_files_only": True}


def fill_cache(root: Path, model_dir: Path, *names: str) -> Path:
    """What the Hub's library leaves in its cache once it has fetched a repository."""
    folder = root / f"models--{REPO.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    for name in names or ("config.json", "model.safetensors"):
        shutil.copy(model_dir / name, snapshot)
    return snapshot


class FakeApi:
    """Stands in for `huggingface_hub.HfApi`: notes its calls and what a folder held."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}
        self.fail = fail

    def __call__(self, token: str | None = None) -> FakeApi:
        self.calls.append(("HfApi", {"token": token}))
        return self

    def create_repo(self, repo_id: str, **options: Any) -> SimpleNamespace:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        full = repo_id if "/" in repo_id else f"owner/{repo_id}"
        return SimpleNamespace(repo_id=full)

    def create_branch(self, repo_id: str, **options: Any) -> None:
        self.calls.append(("create_branch", {"repo_id": repo_id, **options}))

    def upload_folder(self, folder_path: str, **options: Any) -> str:
        if self.fail:
            raise self.fail
        self.calls.append(("upload_folder", options))
        self.files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        return f"https://huggingface.co/{options['repo_id']}/commit/{COMMIT}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    monkeypatch.setattr(huggingface_hub, "HfApi", fake)
    return fake


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("user/repo", True),
        ("a-b_c/d.e-f", True),
        ("runs/cascaded", True),  # no folder of that name: the Hub is asked
        ("cascaded", False),
        ("./cascaded", False),
        ("../cascaded", False),
        ("a/b/c", False),
        ("/a/b", False),
        ("a/", False),
        ("~/b", False),
        ("a b/c", False),
        ("", False),
        (Path("user/repo"), False),
    ],
)
def test_what_is_a_repository(name: Path | str, found: bool) -> None:
    assert remote.is_repo(name) is found


def test_from_the_cache(tmp_path: Path, model_dir: Path) -> None:
    fill_cache(tmp_path, model_dir)
    expected = Model.load(model_dir)
    for options in ({}, {"revision": "main"}, {"revision": COMMIT}):
        model = Model.from_pretrained(REPO, cache_dir=tmp_path, **OFFLINE, **options)
        assert model.hash == expected.hash
    found, wanted = (one.sample([0, 1]).images for one in (model, expected))
    np.testing.assert_array_equal(found, wanted)


def test_not_in_the_cache(tmp_path: Path, model_dir: Path) -> None:
    message = "no model 'user/none': .* not in the Hub's cache, and only local files were allowed"
    with pytest.raises(InputError, match=message):
        Model.from_pretrained("user/none", cache_dir=tmp_path, **OFFLINE)
    fill_cache(tmp_path, model_dir)
    with pytest.raises(InputError, match="only local files were allowed"):
        Model.from_pretrained(REPO, revision="other", cache_dir=tmp_path, **OFFLINE)


def test_what_is_damaged_or_no_model(tmp_path: Path, model_dir: Path) -> None:
    snapshot = fill_cache(tmp_path, model_dir)
    weights = snapshot / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(
        InputError, match=r"force_download=True repeats it\): model weights .* is da"
    ):
        Model.from_pretrained(REPO, cache_dir=tmp_path, **OFFLINE)
    (snapshot / "config.json").unlink()
    with pytest.raises(InputError, match=r"is no scalespace model.*model config not found"):
        Model.from_pretrained(REPO, cache_dir=tmp_path, **OFFLINE)


def test_a_folder_comes_before_the_hub(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_dir, "user/digits")
    for name in (REPO, f"./{REPO}", Path(REPO)):
        assert Model.from_pretrained(name).hash == Model.load(model_dir).hash
    for name in ("./user/none", Path("user/none"), "none", "a/b/c"):
        with pytest.raises(InputError, match="model folder not found"):
            Model.from_pretrained(name)
    with pytest.raises(InputError, match="revision is for models on the Hub, and 'small' is none"):
        Model.from_pretrained("small", revision="main")


def test_what_the_download_is_told(monkeypatch: pytest.MonkeyPatch, model_dir: Path) -> None:
    calls: list[tuple[Any, ...]] = []

    def fake(repo_id: str, **options: Any) -> str:
        calls.append((repo_id, options))
        return str(model_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    options = {"revision": "v1", "cache_dir": "c", "force_download": True, "token": "t"}
    Model.from_pretrained(REPO, local_files_only=True, **options)  # type: ignore[arg-type]
    [(repo, told)] = calls
    assert repo == REPO
    files = told.pop("allow_patterns")
    assert told == {**options, "local_files_only": True}
    assert set(files) == {"config.json", "model.safetensors", "README.md"}


def hub_error(kind: type[Exception], message: str) -> Exception:
    """One of the library's errors, whose own makers want a response of its HTTP library."""
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (hub_error(errors.RepositoryNotFoundError, "404\n\nx"), "no repository on the Hub"),
        (hub_error(errors.RevisionNotFoundError, "404"), "has no revision 'v9' on the Hub"),
        (hub_error(errors.GatedRepoError, "403"), "is gated: ask for access"),
        (errors.LocalEntryNotFoundError("no"), "and the Hub cannot be reached"),
        (hub_error(errors.HfHubHTTPError, "500 Server\n Error"), "the Hub: 500 Server Error"),
        (errors.OfflineModeIsEnabled("offline"), "from the Hub: offline"),
        (ConnectionError("reset\nby peer"), "from the Hub: reset by peer"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (RuntimeError(), "from the Hub: RuntimeError"),
        (RuntimeError("x" * 5000), "x \\.\\.\\."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_are_one_line(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(InputError, match=message) as caught:
        Model.from_pretrained(REPO, revision="v9")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, trained: Trained) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"no folder .* here, and .* huggingface_hub: pip install"):
        Model.from_pretrained(REPO)
    with pytest.raises(InputError, match="the package huggingface_hub: pip install"):
        trained("small").push_to_hub(REPO)
    assert Model.from_pretrained("small").calls == 6  # what ships needs none


# Saving and uploading


def test_save_pretrained(trained: Trained, tmp_path: Path) -> None:
    model, folder = trained("cascaded"), tmp_path / "mine"
    assert model.save_pretrained(folder) is None
    names = {"config.json", "model.safetensors", "README.md"}
    assert {path.name for path in folder.iterdir()} == names
    again = Model.from_pretrained(folder)
    assert again.hash == model.hash
    assert all(stage.raw == {} for stage in again.stages.values())
    found, wanted = (one.sample([0, 1, 2]).images for one in (again, model))
    np.testing.assert_array_equal(found, wanted)
    assert 'from_pretrained("./mine")' in (folder / "README.md").read_text()
    whole = model.save(tmp_path / "whole")
    sizes = [(path / "model.safetensors").stat().st_size for path in (folder, whole)]
    assert sizes[0] < 0.6 * sizes[1]
    # what was saved for others can be saved again, and saved as before
    again.save_pretrained(tmp_path / "third", repo_id="a/b")
    assert 'from_pretrained("a/b")' in (tmp_path / "third" / "README.md").read_text()
    assert Model.load(again.save(tmp_path / "fourth")).hash == model.hash


def test_figures_stay_with_a_model(tmp_path: Path, trained: Trained) -> None:
    model = Model.from_pretrained("small")
    model.save_pretrained(tmp_path)
    assert model.figures is not None
    assert Model.from_pretrained(tmp_path).figures == model.figures
    assert "| CAS |" in (tmp_path / "README.md").read_text()
    # and do not stay behind with another model
    trained("small").save_pretrained(tmp_path)
    assert Model.from_pretrained(tmp_path).figures is None
    assert "| CAS |" not in (tmp_path / "README.md").read_text()


def test_save_pretrained_refuses(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        trained("small").save_pretrained(tmp_path / "file" / "model")
    with pytest.raises(InputError, match="private can only be given with push_to_hub=True"):
        trained("small").save_pretrained(tmp_path / "model", private=True)
    assert not (tmp_path / "model").exists()


def test_push_to_hub(api: FakeApi, trained: Trained, tmp_path: Path) -> None:
    model = trained("cascaded")
    address = model.push_to_hub("digits", private=True, token="t", branch="b", create_pr=True)
    assert address == f"https://huggingface.co/owner/digits/commit/{COMMIT}"
    message = {"commit_message": "Upload a model with scalespace", "create_pr": True}
    assert api.calls == [
        ("HfApi", {"token": "t"}),
        ("create_repo", {"repo_id": "digits", "private": True, "exist_ok": True}),
        ("create_branch", {"repo_id": "owner/digits", "branch": "b", "exist_ok": True}),
        ("upload_folder", {"repo_id": "owner/digits", "revision": "b", **message}),
    ]
    for name, content in api.files.items():
        (tmp_path / name).write_bytes(content)
    assert Model.from_pretrained(tmp_path).hash == model.hash
    text = api.files["README.md"].decode()
    assert 'from_pretrained("owner/digits")' in text
    assert yaml.safe_load(text.split("---\n")[1])["library_name"] == "scalespace"


def test_saving_and_pushing_at_once(api: FakeApi, trained: Trained, tmp_path: Path) -> None:
    model = trained("small")
    address = model.save_pretrained(tmp_path / "mine", push_to_hub=True, commit_message="m")
    assert address == f"https://huggingface.co/owner/mine/commit/{COMMIT}"
    model.save_pretrained(tmp_path / "mine", repo_id=REPO, push_to_hub=True)
    uploads = [options for name, options in api.calls if name == "upload_folder"]
    assert [options["repo_id"] for options in uploads] == ["owner/mine", REPO]
    assert uploads[0]["commit_message"] == "m"
    assert (tmp_path / "mine" / "model.safetensors").exists()


@pytest.mark.parametrize("error", [ConnectionError("no\nroute"), RuntimeError()], ids=repr)
def test_a_push_that_fails(error: Exception, api: FakeApi, trained: Trained) -> None:
    api.fail = error
    with pytest.raises(InputError, match="cannot upload 'user/digits' to the Hub: ") as caught:
        trained("small").push_to_hub(REPO)
    assert "\n" not in str(caught.value)
