"""Reading and writing a model, and sharing it with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from scalespace import plugins, pretrained
from scalespace.errors import InputError
from scalespace.files import write_text
from scalespace.hub import remote
from scalespace.hub.card import About, card
from scalespace.model.folder import CARD, CONFIG, check_own_model, read, write
from scalespace.model.trained_method import TrainedMethod
from scalespace.nets.unet import parameters
from scalespace.training.checkpoint import with_prefix


class Sharing(TrainedMethod):
    """A trained method that is read from a folder or the Hugging Face Hub, and written there."""

    @classmethod
    def from_pretrained(
        cls,
        name: Path | str,
        *,
        revision: str | None = None,
        cache_dir: Path | str | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """A model from a folder, from the package itself, or from the Hugging Face Hub.

        Args:
            name: a folder, which comes first; the name of a shipped model; or USER/NAME on the Hub.
            revision: a branch, tag or commit there.
            cache_dir: where to keep what is fetched, instead of the Hub's own cache.
            force_download: fetch it even if it is there.
            local_files_only: never ask the network.
            token: for private repositories; True for the one that `hf auth login` has stored.
            device: where to sample.

        Raises:
            InputError: there is no such model, it cannot be fetched, or it is damaged.
        """
        if Path(name).is_dir() or pretrained.is_shipped(name) or not remote.is_repo(name):
            folder = pretrained.find(name)
            if revision is not None:
                raise InputError(f"revision is for models on the Hub, and '{name}' is none")
            return cls.load(folder, device)
        folder = remote.download(
            str(name),
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        try:
            return cls.load(folder, device)
        except InputError as error:
            raise InputError(
                f"'{name}' on the Hub is no scalespace model, or its download is damaged "
                f"(force_download=True repeats it): {error}"
            ) from error

    @classmethod
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> Self:
        """Reads a model folder.

        Raises:
            InputError: a file is absent, damaged, edited, or does not fit the other.
        """
        found = read(Path(folder))
        try:
            return cls(found.method, found.stages, device, found.figures, found.name)
        except InputError as error:
            raise InputError(f"{folder}, as its {CONFIG} has it: {error}") from error

    def save(self, folder: Path | str, averaged_only: bool = False) -> Path:
        """Writes the model folder; an existing model there is replaced.

        Args:
            folder: where to.
            averaged_only: leave out the last weights, which nothing samples with.
        """
        folder = Path(folder)
        tensors: dict[str, Tensor] = {}
        for name, stage in self.stages.items():
            own = with_prefix("ema", stage.ema) if averaged_only else stage.tensors
            tensors |= with_prefix(name, own)
        write(folder, self.config, tensors)
        return folder

    def save_pretrained(
        self,
        folder: Path | str,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        **push: Any,
    ) -> str | None:
        """Writes the model folder for others: averaged weights alone, and a card.

        Args:
            folder: where to; a model there is replaced.
            repo_id: the name that the card tells readers to load; the folder's unless given.
            push_to_hub: also upload it, as `repo_id`, or by the folder's name.
            push: further arguments of `push_to_hub`.

        Returns:
            the address of the commit, if it was uploaded.

        Raises:
            InputError: it cannot be written, or what `push_to_hub` raises.
        """
        folder = Path(folder)
        if push and not push_to_hub:
            raise InputError(f"{', '.join(push)} can only be given with push_to_hub=True")
        check_own_model(folder, (CONFIG, CARD))
        self.save(folder, averaged_only=True)
        write_text(folder / CARD, self.card(repo_id or f"./{folder.name}"))
        return self.push_to_hub(repo_id or folder.name, **push) if push_to_hub else None

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload a model with scalespace",
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
    ) -> str:
        """Uploads what `save_pretrained` writes to the Hugging Face Hub, in one commit.

        Args:
            repo_id: USER/NAME, or NAME alone for the token's owner; made if absent.
            commit_message: of the commit.
            private: of a new repository; None: the owner's default.
            token: that may write; None or True for the one that `hf auth login` has stored.
            branch: to commit to; made if absent.
            create_pr: open a pull request instead.

        Returns:
            the address of the commit.

        Raises:
            InputError: the Hub refuses or cannot be reached, or huggingface_hub is not installed.
        """

        def write(folder: Path, full_name: str) -> None:
            self.save_pretrained(folder, repo_id=full_name)

        return remote.upload(
            repo_id,
            write,
            commit_message=commit_message,
            private=private,
            token=token,
            branch=branch,
            create_pr=create_pr,
        )

    def card(self, source: str) -> str:
        """The model card: data, recipe, figures, limits, licence; Markdown with the Hub's header.

        Args:
            source: what its reader gives to `from_pretrained`.
        """
        sizes = {name: parameters(model) for name, model in self.models.items()}
        doc = (type(self.method).__doc__ or "").strip().partition("\n")[0]
        modules = plugins.outside([self.method])
        about = About(self.method.title, doc, self.config, sizes, self.figures, modules)
        return card(about, source)
