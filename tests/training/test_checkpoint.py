from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from scalespace.errors import InputError
from scalespace.training.checkpoint import (
    load_tensors,
    load_weights,
    save_tensors,
    under_prefix,
    with_prefix,
)

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def tensors() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.arange(6.0).view(2, 3), "a.step": torch.tensor(7)}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.safetensors"
    odd = {
        "transposed": torch.arange(6.0).view(2, 3).T,
        "channels_last": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "grad": torch.rand(3, requires_grad=True),
        "scalar": torch.tensor(3.0),
        "empty": torch.empty(0),
    }
    save_tensors(path, odd, {"step": 3, "loss": 0.1 + 0.2, "text": "ü"})
    found, record = load_tensors(path)
    assert record == {"step": 3, "loss": 0.1 + 0.2, "text": "ü"}
    assert found.keys() == odd.keys()
    for name, tensor in odd.items():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=0, atol=0)
    assert [p.name for p in path.parent.iterdir()] == ["file.safetensors"]


@same_folder
@given(st.data())
def test_any_damage_is_an_input_error_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "file.safetensors"
    save_tensors(path, tensors(), {"step": 3})
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
        short = True
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        short = False
    path.write_bytes(content)
    try:
        _, record = load_tensors(path)
    except InputError as error:
        message: str | None = str(error)
    else:
        message = None
        assert isinstance(record, dict)
    assert message is not None or not short
    assert message is None or (str(path) in message and "\n" not in message)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """Of a value, of the record, of a name, of a shape: but for padding, all of them."""
    path = tmp_path / "file.safetensors"
    save_tensors(path, tensors(), {"step": 3})
    content = path.read_bytes()
    found, record = load_tensors(path)
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            try:
                now, about = load_tensors(path)
            except InputError:
                continue
            assert record.items() <= about.items()  # the word "checksum" itself is not summed up
            assert now.keys() == found.keys()
            assert all(torch.equal(now[name], found[name]) for name in found)


def test_a_file_without_a_checksum(tmp_path: Path) -> None:
    """Of an earlier version."""
    path = tmp_path / "file.safetensors"
    save_file(tensors(), path, metadata={"record": '{"step": 3}'})
    assert load_tensors(path)[1] == {"step": 3}


@pytest.mark.parametrize("record", ["[1]", "3", "null", "{", "[" * 100_000])
def test_a_record_that_is_no_object(record: str, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_file(tensors(), path, metadata={"record": record})
    with pytest.raises(InputError, match="damaged"):
        load_tensors(path)


def test_a_file_without_a_record(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_file(tensors(), path)
    assert load_tensors(path)[1] == {}


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"PK\x03\x04", b"\xff" * 100])
def test_other_formats_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or no safetensors"):
        load_tensors(path, "model weights")


@pytest.mark.parametrize(
    ("what", "advice"),
    [
        ("trained stage", "delete it to train that stage again"),
        ("checkpoint", "delete it to start afresh"),
        ("trained network", "delete it to train it again"),
    ],
)
def test_what_is_made_again_says_so(what: str, advice: str, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_tensors(path, tensors(), {})
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InputError, match=f"^{what} .* damaged .*: {advice}$"):
        load_tensors(path, what)
    save_file(tensors(), path, metadata={"record": "[1]"})
    with pytest.raises(InputError, match=f"^{what} .* damaged: .*: {advice}$"):
        load_tensors(path, what)
    # a model that someone has given will not come back
    with pytest.raises(InputError, match=r"no JSON object$"):
        load_tensors(path, "model weights")


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model weights not found"):
        load_tensors(tmp_path / "none", "model weights")
    with pytest.raises(InputError, match="not found"):
        load_tensors(tmp_path)


def test_prefixes() -> None:
    both = {**with_prefix("raw", {"x": torch.zeros(1)}), **with_prefix("rawer", tensors())}
    assert under_prefix("raw", both).keys() == {"x"}
    assert under_prefix("rawer", both).keys() == tensors().keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": None}, "bias"),
        ({"extra": torch.zeros(1)}, "extra"),
        ({"weight": torch.zeros(3, 3)}, "weight"),
        ({"weight": torch.tensor([[1.0, float("nan")]])}, "not finite"),
        ({"bias": torch.tensor([float("inf")])}, "not finite"),
        ({"bias": torch.tensor([1])}, "int64"),
        ({"bias": torch.tensor([1j])}, "complex64"),
    ],
)
def test_weights_that_do_not_fit(change: dict, message: str) -> None:
    state = {**nn.Linear(2, 1).state_dict(), **change}
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(InputError, match=f"the model.*{message}"):
        load_weights(nn.Linear(2, 1), state, "the model")


def test_the_record_survives_unusual_numbers(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_tensors(path, tensors(), {"x": 1e-300, "y": 2**60})
    assert load_tensors(path)[1] == json.loads('{"x": 1e-300, "y": 1152921504606846976}')
