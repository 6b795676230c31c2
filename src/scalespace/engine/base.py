"""What an engine is: it turns a network into a faster function of the same inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

Call = Callable[..., Tensor]
"""A network as an engine runs it: tensors of n rows each to a tensor of n rows, for any n."""


class Lazily:
    """A call that is prepared when it is made for the first time.

    Args:
        load: prepares it.
    """

    def __init__(self, load: Callable[[], Call]) -> None:
        self._load = load

    @cached_property
    def _call(self) -> Call:
        return self._load()

    def __call__(self, *given: Tensor) -> Tensor:
        return self._call(*given)


class Engine(ABC):
    """Runs networks. It never trains them, and gives no gradients."""

    name: ClassVar[str]
    needs: ClassVar[str] = ""
    """What to install for it; empty for an engine that is always there."""
    chains: ClassVar[int] = 0
    """The most network calls of a sample that it runs as one network, solver and all."""
    chained_on: ClassVar[str] = "cpu"
    """The kind of device on which it does."""

    @classmethod
    @abstractmethod
    def lacks(cls, device: torch.device) -> str:
        """Why it cannot run on a device here, in a few words; empty if it can."""

    @abstractmethod
    def load(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        """A network, in evaluation mode and with the weights that it has now, as a plain function.

        Args:
            network: takes tensors of n rows and gives one of n rows.
            inputs: examples of them, at least two rows each.
        """

    def load_chain(self, chain: nn.Module, inputs: Sequence[Tensor]) -> Call:
        """All of a model's sampling, as `load` takes a network.

        Args:
            chain: labels and noise of n rows to images, its networks in the hands of `part`.
            inputs: examples.
        """
        return self.load(chain, inputs)

    def part(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call | None:
        """What runs a network within a chain; None for the network as it is written.

        Args:
            network, inputs: as for `load`.
        """
        return None

    def worth(self, device: torch.device) -> int:
        """Network calls of one image each that pay for its preparation."""
        return 50_000  # some 20 s of a CPU


class Torch(Engine):
    """Plain PyTorch, as the network is written."""

    name = "torch"

    @classmethod
    def lacks(cls, device: torch.device) -> str:
        return ""

    def load(self, network: nn.Module, inputs: Sequence[Tensor]) -> Call:
        return lambda *given: network(*given)
