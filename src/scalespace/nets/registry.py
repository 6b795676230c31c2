"""Networks by name, as `net.kind` chooses them: a file each, and any of one's own by import path.

A network of one's own is a class that does what `Network` says. `--net.kind mypackage.nets:Mine`, a
preset that names it, or a `load_config` in Python imports it. A model folder that names it does
not: nothing that is read may run code. There the module must have been imported before, or stand in
the environment variable `SCALESPACE_PLUGINS` (`scalespace.plugins`).
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from torch import Tensor, nn

from scalespace import plugins
from scalespace.config import NetConfig
from scalespace.errors import InputError, one_line, unknown
from scalespace.nets.coordinates import Coordinates
from scalespace.nets.depthwise import Depthwise
from scalespace.nets.nested import Nested
from scalespace.nets.unet import UNet

NETS: dict[str, type[nn.Module]] = {
    "unet": UNet,
    "coordinates": Coordinates,
    "nested": Nested,
    "depthwise": Depthwise,
}
"""Every network of the package by name."""


class Network(Protocol):
    """What a network owes: a `torch.nn.Module` of this signature.

    A class may also have `check_size(c, height, width)`, a static method that raises `InputError`
    for images that it does not suit. If its context only acts through a function of the context
    alone, it may split `forward` into `draw(x, modulation(context))`: engines then compute the
    `modulation` once for each state and label.
    """

    def __init__(
        self,
        c: NetConfig,
        inputs: int,
        outputs: int,
        context: int,
        size: tuple[int, int],
    ) -> None:
        """An untrained network.

        Args:
            c: the fields `net.*`; it reads those that it has a use for.
            inputs: image channels that go in: x_t, and a coarser image or an estimate beside it.
            outputs: image channels that come out.
            context: width of the context vector.
            size: of the images (h, w).
        """

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Images [n, inputs, h, w] to predictions [n, outputs, h, w].

        Args:
            x: standardised, and all within a few units.
            context: [n, k]: the state over the last one, the class as one-hot (all 0 for none),
                and the level of a coarser image if there is one.
        """


def make_net(
    c: NetConfig, inputs: int, outputs: int, context: int, size: tuple[int, int]
) -> nn.Module:
    """The network of `c.kind`; arguments as for `Network`.

    Raises:
        InputError: there is none, or it cannot be made.
    """
    kind = find_net(c.kind)
    try:
        return kind(c, inputs, outputs, context, size)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError) or c.kind in NETS:
            raise
        raise InputError(f"net.kind={c.kind} cannot be made: {one_line(error)}") from error


def check_size(c: NetConfig, height: int, width: int) -> None:
    """Raises `InputError` unless a network suits images of that size."""
    check: Any = getattr(find_net(c.kind), "check_size", None)
    if check is not None:
        check(c, height, width)


def trust(kind: str) -> None:
    """Lets a network be imported: `plugins.trust` of its module."""
    if module := module_of(kind):
        plugins.trust(module)


def module_of(kind: str) -> str:
    """The module of an import path; empty for a network of the package."""
    module, colon, _ = kind.partition(":")
    return module if colon else ""


def find_net(kind: str) -> type[nn.Module]:
    """The class of a name or an import path.

    Raises:
        InputError: there is none, it is no `torch.nn.Module`, or nobody has let it be imported.
    """
    if kind in NETS:
        return NETS[kind]
    module, colon, name = kind.partition(":")
    if not colon:
        raise unknown("net.kind", kind, NETS)
    if module not in sys.modules and module not in plugins.named():
        raise InputError(
            f"net.kind={kind} is code, and nothing that is read may run code: import {module} "
            f"before, or set {plugins.VARIABLE}={module}, if you trust it"
        )
    try:
        found = getattr(plugins.imported(module), name, None)
    except InputError as error:
        raise InputError(f"net.kind={kind}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise InputError(f"net.kind={kind}: {module} has no torch.nn.Module of that name")
    return found
