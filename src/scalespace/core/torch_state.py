"""Global torch settings of the calling program that would change results: undone, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from scalespace.errors import InputError


@contextmanager
def learning() -> Iterator[None]:
    """Records gradients, also within a caller's `no_grad` or `inference_mode`."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def check_defaults() -> None:
    """Raises `InputError` unless torch's default dtype is float32 and its default device is cpu."""
    if torch.get_default_dtype() != torch.float32:
        raise InputError(
            f"torch's default dtype is {torch.get_default_dtype()}, and scalespace computes in "
            "float32: call torch.set_default_dtype(torch.float32) before"
        )
    if torch.get_default_device().type != "cpu":
        raise InputError(
            f"torch's default device is {torch.get_default_device()}, and scalespace puts its "
            "tensors where its own `device` says: call torch.set_default_device('cpu') before"
        )


def keep_float32() -> None:
    """Has convolutions on a GPU compute in float32, as a CPU does.

    By default cuDNN rounds what they multiply to the 10 bits of TF32. Images would then differ in
    the third digit by device, batch size and engine, and few kernels here are large enough to gain.
    """
    torch.backends.cudnn.allow_tf32 = False
