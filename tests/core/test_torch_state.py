"""torch's global settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from scalespace.core.torch_state import WORTH, threads_for
from scalespace.model import Model


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_within(images: int) -> int:
    with threads_for(images):
        return torch.get_num_threads()


@pytest.mark.usefixtures("two_threads")
def test_a_few_images_have_one_thread() -> None:
    assert [threads_within(n) for n in (1, WORTH - 1, WORTH, 100)] == [1, 1, 2, 2]
    assert torch.get_num_threads() == 2
    with pytest.raises(KeyError), threads_for(1):
        raise KeyError
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_another_thread_keeps_its_own_number() -> None:
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(2,)) as pool:
        assert pool.submit(threads_within, 1).result() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_model_makes_a_few_images_with_one(trained: Callable[[str], Model]) -> None:
    model, seen = trained("baseline"), []
    net = model.models["baseline"].net
    hook = net.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    model.sample([0])
    few = set(seen)
    seen.clear()
    model.sample([0] * WORTH)
    hook.remove()
    assert (few, set(seen)) == ({1}, {2})
