from __future__ import annotations

import sys

import pytest
import torch

from scalespace.errors import InputError
from scalespace.training.runtime import DEVICES, Runtime, is_helper, keep_freed_memory


def available(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")],
)
def test_auto_takes_the_best_there_is(
    cuda: bool, mps: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    available(monkeypatch, cuda, mps)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert Runtime().torch_device == torch.device(chosen)
    assert torch.backends.cudnn.allow_tf32 is (chosen != "cuda")  # float32 on a GPU, too
    assert Runtime(device="cpu").torch_device == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    available(monkeypatch, False, False)
    assert device in DEVICES
    with pytest.raises(InputError, match=f"device {device}: this machine has none"):
        _ = Runtime(device=device).torch_device  # type: ignore[arg-type]


@pytest.mark.parametrize("devices", [0, -1])
def test_number_of_devices(devices: int) -> None:
    with pytest.raises(InputError, match="--devices must be at least 1"):
        Runtime(devices=devices)


def test_fabric_for_the_cpu() -> None:
    fabric = Runtime(device="cpu").fabric()
    assert fabric.device == torch.device("cpu")
    assert fabric.world_size == 1


@pytest.mark.parametrize(
    ("environment", "together", "helper"),
    [
        ({}, 3, False),
        ({"LOCAL_RANK": "0"}, 3, False),
        ({"LOCAL_RANK": "2"}, 3, True),  # started by the first process itself
        ({"RANK": "0", "LOCAL_RANK": "0"}, 8, False),
        ({"RANK": "4", "LOCAL_RANK": "0"}, 8, True),  # the first of another machine
    ],
)
def test_processes_that_train_together(
    environment: dict[str, str], together: int, helper: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    if "RANK" in environment:  # by torchrun, on two machines
        environment |= {"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Runtime(device="cpu", devices=3).together == together
    assert is_helper() is helper


def test_keeping_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(keep_freed_memory(), bool)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
