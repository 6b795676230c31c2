"""Up to the Hub and back: through huggingface_hub itself, to a stand-in for the Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import stand_in
import torch
from huggingface_hub import constants
from huggingface_hub.utils import _http
from stand_in import TOKEN, Hub, Repository

from scalespace.errors import InputError
from scalespace.model import Model

Trained = Callable[[str], Model]
REPO = "owner/digits"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that huggingface_hub talks to, as with HF_ENDPOINT set; it waits for no second try."""
    with stand_in.served() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.place)
        template = found.place + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        hurried = SimpleNamespace(**vars(_http.time) | {"sleep": lambda seconds: None})
        monkeypatch.setattr(_http, "time", hurried)
        yield found


@pytest.fixture
def pushed(hub: Hub, trained: Trained) -> Hub:
    """The same, with the tiny cascade on it."""
    trained("cascaded").push_to_hub(REPO, token=TOKEN)
    return hub


def refused(call: Callable[[], object]) -> str:
    """The one line of a refusal."""
    with pytest.raises(InputError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 500
    return line


def weights(folder: Path) -> list[Path]:
    """Files of weights that a reader of this cache would find."""
    return list(folder.glob("models--*/snapshots/*/model.safetensors"))


def test_up_and_back(hub: Hub, trained: Trained, tmp_path: Path) -> None:
    model = trained("cascaded")
    address = model.push_to_hub(REPO, token=TOKEN)
    _, (sha, files) = hub.repositories[REPO].commits
    assert address == f"{hub.place}/{REPO}/commit/{sha}"
    assert set(files) == {".gitattributes", "config.json", "model.safetensors", "README.md"}
    for revision in (None, "main", sha):
        again = Model.from_pretrained(REPO, revision=revision, cache_dir=tmp_path)
        assert again.hash == model.hash
    for name, stage in model.stages.items():
        assert stage.ema.keys() == again.stages[name].ema.keys()
        for key, tensor in stage.ema.items():
            assert torch.equal(tensor, again.stages[name].ema[key])
    np.testing.assert_array_equal(again.sample([0, 1, 2]).images, model.sample([0, 1, 2]).images)
    asked = len(hub.asked)
    offline = Model.from_pretrained(REPO, cache_dir=tmp_path, local_files_only=True)
    assert offline.hash == model.hash
    assert len(hub.asked) == asked


def test_nothing_else_is_fetched(pushed: Hub, tmp_path: Path) -> None:
    pushed.repositories[REPO].commits[-1][1]["run_me.py"] = b"print('no')"
    Model.from_pretrained(REPO, cache_dir=tmp_path)
    assert not any("run_me" in line for line in pushed.asked)
    assert not list(tmp_path.rglob("run_me.py"))


def test_another_model_replaces_it(pushed: Hub, trained: Trained, tmp_path: Path) -> None:
    first = pushed.repositories[REPO].commits[-1][0]
    other = trained("small")
    other.push_to_hub(REPO, token=TOKEN)
    assert Model.from_pretrained(REPO, cache_dir=tmp_path).hash == other.hash
    before = Model.from_pretrained(REPO, revision=first, cache_dir=tmp_path)
    assert before.hash == trained("cascaded").hash


def test_a_private_model(hub: Hub, trained: Trained, tmp_path: Path) -> None:
    model = trained("small")
    model.push_to_hub("mine", private=True, token=TOKEN)
    assert hub.repositories["owner/mine"].private
    load = partial(Model.from_pretrained, "owner/mine", cache_dir=tmp_path)
    for token in (None, "hf_ofanother"):
        line = refused(partial(load, token=token))
        assert "no repository on the Hub (or a private one, which needs a token)" in line
    assert not list(tmp_path.rglob("*.safetensors"))
    assert load(token=TOKEN).hash == model.hash


def test_what_is_not_there(pushed: Hub, tmp_path: Path) -> None:
    line = refused(lambda: Model.from_pretrained("owner/none", cache_dir=tmp_path))
    assert line.startswith("no model 'owner/none': no folder of that name here, and no repository")
    line = refused(lambda: Model.from_pretrained(REPO, revision="v9", cache_dir=tmp_path))
    assert line == f"'{REPO}' has no revision 'v9' on the Hub"
    pushed.repositories["owner/gated"] = Repository(gated=True)
    line = refused(lambda: Model.from_pretrained("owner/gated", cache_dir=tmp_path))
    assert line == "'owner/gated' is gated: ask for access on its page, then pass a token"
    pushed.repositories["owner/empty"] = Repository()
    line = refused(lambda: Model.from_pretrained("owner/empty", cache_dir=tmp_path))
    assert line.startswith("'owner/empty' on the Hub is no scalespace model")
    assert not weights(tmp_path)


def test_a_download_that_breaks_off(pushed: Hub, trained: Trained, tmp_path: Path) -> None:
    """No half of a model is ever read, and the next try brings the whole."""
    pushed.breaks_at = "/large/"
    line = refused(lambda: Model.from_pretrained(REPO, cache_dir=tmp_path))
    assert f"cannot fetch '{REPO}' from the Hub: " in line
    assert not weights(tmp_path)
    refused(lambda: Model.from_pretrained(REPO, cache_dir=tmp_path, local_files_only=True))
    pushed.breaks_at = ""
    assert Model.from_pretrained(REPO, cache_dir=tmp_path).hash == trained("cascaded").hash


@pytest.mark.parametrize("place", ["/create", "/preupload/", "/objects/batch", "/commit/"])
def test_an_upload_that_breaks_off(place: str, hub: Hub, trained: Trained) -> None:
    """One line, and the repository stays without a commit that was not answered whole."""
    hub.breaks_at = place
    line = refused(lambda: trained("small").push_to_hub(REPO, token=TOKEN))
    assert line.startswith(f"cannot upload '{REPO}' to the Hub: ")
    if place != "/commit/":
        assert REPO not in hub.repositories or len(hub.repositories[REPO].commits) == 1


def test_a_push_without_the_right(hub: Hub, trained: Trained) -> None:
    for token in (False, "hf_ofanother"):
        line = refused(partial(trained("small").push_to_hub, REPO, token=token))
        assert line.startswith(f"cannot upload '{REPO}' to the Hub: ")
        assert "401" in line
    assert not hub.repositories


def test_no_hub_at_all(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    line = refused(lambda: Model.from_pretrained(REPO, cache_dir=tmp_path))
    assert line.endswith("and the Hub cannot be reached")
    assert not weights(tmp_path)
