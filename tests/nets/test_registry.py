"""Networks by name and by import path."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import tiny
from scalespace.cli import main
from scalespace.config import NetConfig, Recipe
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.methods.small import SMALL
from scalespace.model import Model, train
from scalespace.nets.depthwise import Depthwise
from scalespace.nets.registry import NETS, check_size, find_net, make_net, trust
from scalespace.nets.unet import parameters
from scalespace.plugins import VARIABLE
from scalespace.settings import load_config

CONTEXT = 11
PUBLISHED = NetConfig(kind="depthwise", channels=(64, 128, 256), embedding=256)
OWN = (
    tiny.OWN_NET
    + """

class Bare(nn.Module):
    pass


number = 3
"""
)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's in the working directory, which nobody has imported yet."""
    (tmp_path / "my_nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # where it would be found by the next test
    monkeypatch.setenv(VARIABLE, "")
    yield "my_nets:Mine"
    sys.modules.pop("my_nets", None)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("size", [(28, 28), (14, 14), (9, 12)])
def test_shapes(kind: str, norm: str, size: tuple[int, int]) -> None:
    c = NetConfig(kind=kind, channels=(8, 16, 24), norm=norm, groups=2, embedding=6)  # type: ignore[arg-type]
    check_size(c, *size)
    net = make_net(c, 2, 1, CONTEXT, size).eval()
    x, context = torch.randn(3, 2, *size), torch.randn(3, CONTEXT)
    found = net(x, context)
    assert found.shape == (3, 1, *size)
    other = net(x, torch.randn(3, CONTEXT))
    assert float((found - other).detach().abs().max()) > 1e-6  # the context acts
    torch.testing.assert_close(net.draw(x, net.modulation(context)), found)
    torch.testing.assert_close(net(x[1:2], context[1:2]), found[1:2], atol=1e-5, rtol=1e-4)


def test_the_published_depthwise_network_to_the_parameter() -> None:
    """Its count follows from its layers; by its page, its weights' file has 4.55 MB."""

    def mixing(i: int, o: int) -> int:
        return i * o + o + 2 * o

    def spatial(c: int) -> int:
        return 9 * c + c + 2 * c

    def unit(i: int, o: int) -> int:
        h = i // 2
        return spatial(h) + mixing(h, o // 2) + mixing(h, h) + spatial(h) + mixing(h, o // 2)

    def strided(i: int, o: int) -> int:
        h = o // 2
        return spatial(i) + mixing(i, h) + mixing(i, h) + spatial(h) + mixing(h, h)

    def time(i: int, o: int) -> int:
        return (256 * i + i) + (i * o + o)

    scales = [(64, 128), (128, 256)]
    count = (1 * 64 * 9 + 64 + 128) + (32 * 1 + 1)
    for a, b in scales:
        count += 3 * unit(a, a) + unit(a, b // 2) + time(b, b // 2) + strided(b // 2, b)
        count += 3 * unit(b, b) + unit(b, b // 2) + time(b, b // 2) + unit(b // 2, a // 2)
    count += 2 * unit(256, 256) + unit(256, 128)
    table = 1000 * 256  # a vector for each state, where ours has a linear map of the context
    assert count + table == 1_084_897
    net = make_net(PUBLISHED, 1, 1, CONTEXT, (28, 28))
    assert parameters(net) == count + CONTEXT * 256 + 256
    statistics = sum(b.numel() for b in net.buffers())
    five_schedules = 5 * 1000
    megabytes = 4 * (count + table + statistics + five_schedules) / 1e6
    assert 0.97 < megabytes / 4.55 < 1  # the rest is the file's own names and padding


def test_the_branches_of_a_unit_are_interleaved() -> None:
    net = make_net(replace(PUBLISHED, channels=(8, 8)), 1, 1, CONTEXT, (28, 28)).eval()
    assert isinstance(net, Depthwise)
    unit = net.encoders[0][0]
    x = torch.randn(2, 8, 5, 5)
    found, (first, second) = unit(x), x.chunk(2, dim=1)
    torch.testing.assert_close(found[:, ::2], unit.short(first))
    torch.testing.assert_close(found[:, 1::2], unit.long(second))


@pytest.mark.parametrize(
    ("channels", "norm"), [((8,), "batch"), ((8, 6), "batch"), ((8, 12), "group")]
)
def test_widths_that_cannot_be_halved_twice(channels: tuple[int, ...], norm: str) -> None:
    c = NetConfig(kind="depthwise", channels=channels, norm=norm, groups=2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"needs two net\.channels or more, multiples of \d"):
        make_net(c, 1, 1, CONTEXT, (28, 28))


def test_a_depthwise_network_is_trained_and_sampled(splits: DataSplits, tmp_path: Path) -> None:
    net = NetConfig(kind="depthwise", channels=(8, 16), norm="group", groups=2, embedding=6)
    config = replace(tiny.CONFIG, net=net)
    model = train("cascaded", splits, config, tmp_path, 0, tiny.CPU)
    nets = [stage.net for stage in model.models.values()]
    assert {type(own) for own in nets} == {Depthwise}
    again = Model.load(model.save(tmp_path / "model"))
    assert (again.sample([0, 1]).images == model.sample([0, 1]).images).all()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("unett", "unknown net.kind 'unett'; did you mean 'unet'"),
        ("nowhere.to.be:Found", "nothing that is read may run code: import nowhere.to.be before"),
        ("torch.nn:Nothing", "torch.nn has no torch.nn.Module of that name"),
        ("os:system", "os has no torch.nn.Module of that name"),
    ],
)
def test_no_such_network(kind: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        find_net(kind)


@pytest.mark.parametrize("kind", ["", "a b", "unet()", "a:b:c", "../a:B", "UNet"])
def test_what_can_be_no_name(kind: str) -> None:
    with pytest.raises(ValueError, match=r"net\.kind must be a name or package"):
        NetConfig(kind=kind)


def test_ones_own_network(own: str, splits: DataSplits, tmp_path: Path) -> None:
    """It is imported for who names it, and not for a folder that does."""
    config = replace(tiny.CONFIG, net=NetConfig(kind=own))
    with pytest.raises(
        InputError, match="import my_nets before, or set SCALESPACE_PLUGINS=my_nets"
    ):
        SMALL.build(Recipe(net=config.net), splits.info)
    assert "my_nets" not in sys.modules
    assert load_config("default", {"net.kind": own}).net.kind == own  # named: trusted from now on
    model = train("small", splits, config, tmp_path / "trainings", 0, tiny.CPU)
    images = model.sample([0, 1, 2], seed=3).images
    folder = model.save(tmp_path / "model")
    assert (Model.load(folder).sample([0, 1, 2], seed=3).images == images).all()

    words = [sys.executable, "-m", "scalespace", "sample", str(folder), "--labels", "1"]
    words += ["--out", "x.npz", "--quiet"]
    env = {"PATH": "", "SCALESPACE_PLUGINS": ""}
    refused = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "nothing that is read may run code" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    allowed = {**env, "SCALESPACE_PLUGINS": "my_nets"}
    subprocess.run(words, env=allowed, check=True)


def test_a_stage_may_have_its_own(own: str) -> None:
    load_config("default", {"stages.small.net.kind": own})
    assert find_net(own).__name__ == "Mine"


def test_a_network_that_cannot_be_made(own: str, splits: DataSplits) -> None:
    trust(own)
    with pytest.raises(InputError, match=r"net\.kind=my_nets:Bare cannot be made: "):
        SMALL.build(Recipe(net=NetConfig(kind="my_nets:Bare")), splits.info)
    with pytest.raises(InputError, match=r"my_nets has no torch\.nn\.Module of that name"):
        find_net("my_nets:number")
    trust("broken:Mine")
    Path("broken.py").write_text("1 / 0")
    with pytest.raises(InputError, match=r"broken:Mine: broken cannot be imported: division"):
        find_net("broken:Mine")
    trust("leaving:Mine")
    Path("leaving.py").write_text("import sys; sys.exit(3)")
    with pytest.raises(InputError, match=r"leaving cannot be imported: it calls sys\.exit\(3\)"):
        find_net("leaving:Mine")


def test_by_the_command_line(own: str, data_dir: Path, preset: Path, tmp_path: Path) -> None:
    shutil.copy(preset, "tiny.yaml")
    words = ["train", "small", "--preset", "tiny.yaml", "--data-dir", str(data_dir)]
    main([*words, "--out", "m", "--quiet", "--net.kind", own])
    assert isinstance(next(iter(Model.load("m").models.values())).net, nn.Module)
    assert find_net(own).__module__ == "my_nets"
