"""Global torch settings: those of the calling program that would change results, and threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

import torch

from scalespace.errors import InputError


@contextmanager
def learning() -> Iterator[None]:
    """Records gradients, also within a caller's `no_grad` or `inference_mode`."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


WORTH = 4
"""Images that are worth a second thread: fewer are made as fast by one."""


@contextmanager
def threads_for(images: int) -> Iterator[None]:
    """One thread on a CPU, while fewer than `WORTH` images are computed.

    Two wait for one another hundreds of times an image, and longest where other programs keep the
    cores busy. Only in the main thread: to torch, a number of threads is each thread's own, but a
    new thread begins with the last one that was set.
    """
    threads = torch.get_num_threads()
    if images >= WORTH or threads == 1 or current_thread() is not main_thread():
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
