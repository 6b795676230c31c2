"""The Hugging Face Hub, through huggingface_hub: an optional package, imported when first needed.

Whatever goes wrong there becomes an `InputError` of one line.
"""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from scalespace.errors import InputError, one_line

FILES = ("config.json", "model.safetensors", "README.md")
"""What a model's repository is read for: nothing that could run is ever fetched."""
REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)

MOST = 300  # letters of another library's message that are shown


def is_repo(name: Path | str) -> bool:
    """Whether this could be a repository on the Hub: USER/NAME, not a path such as ./NAME."""
    return isinstance(name, str) and REPO.fullmatch(name) is not None


def download(
    repo_id: str,
    *,
    revision: str | None = None,
    cache_dir: Path | str | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """The folder of the user's cache that holds a repository's model, fetched if need be.

    Arguments as for `Model.from_pretrained`; `repo_id` is USER/NAME.

    Raises:
        InputError: there is no such repository or revision, it cannot be reached, or
            huggingface_hub is not installed.
    """
    hub, errors = _library(f"no folder '{repo_id}' here, and ")
    try:
        found = hub.snapshot_download(
            repo_id,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            allow_patterns=list(FILES),
        )
    except errors.GatedRepoError as error:
        raise InputError(
            f"'{repo_id}' is gated: ask for access on its page, then pass a token"
        ) from error
    except errors.RevisionNotFoundError as error:
        name = revision or "main"
        raise InputError(f"'{repo_id}' has no revision '{name}' on the Hub") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"no model '{repo_id}': no folder of that name here, and no repository on the Hub "
            f"(or a private one, which needs a token)"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why = "only local files were allowed" if local_files_only else "the Hub cannot be reached"
        raise InputError(
            f"no model '{repo_id}': no folder of that name here, it is not in the Hub's cache, "
            f"and {why}"
        ) from error
    except Exception as error:  # of the network, the disk, the name: an open list
        raise InputError(f"cannot fetch '{repo_id}' from the Hub: {_reason(error)}") from error
    return Path(found)


def upload(
    repo_id: str,
    write: Callable[[Path, str], None],
    *,
    commit_message: str,
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool | None = None,
) -> str:
    """Makes the repository if need be and uploads a model's folder in one commit.

    Arguments as for `Model.push_to_hub`, and `write`, which writes the model into a folder for the
    repository of that full name.

    Returns:
        the address of the commit.

    Raises:
        InputError: the Hub refuses or cannot be reached, or huggingface_hub is not installed.
    """
    hub, _ = _library()
    try:
        api = hub.HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if branch is not None:
            api.create_branch(repo_id, branch=branch, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), repo_id)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=commit_message,
                revision=branch,
                create_pr=create_pr,
            )
    except InputError:
        raise
    except Exception as error:  # of the network, the token, the name: an open list
        raise InputError(f"cannot upload '{repo_id}' to the Hub: {_reason(error)}") from error
    return str(commit)


def _library(before: str = "") -> tuple[ModuleType, ModuleType]:
    try:
        return (
            importlib.import_module("huggingface_hub"),
            importlib.import_module("huggingface_hub.errors"),
        )
    except ImportError as error:
        raise InputError(
            f"{before}models on the Hub need the package huggingface_hub: "
            "pip install huggingface_hub (or scalespace's extra 'hub')"
        ) from error


def _reason(error: Exception) -> str:
    """An error's message in one line that is not too long."""
    text = one_line(error)
    return text if len(text) <= MOST else text[:MOST] + " ..."
