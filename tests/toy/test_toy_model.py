from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scalespace.core.denoiser import Condition
from scalespace.core.parametrization import PARAMETRIZATIONS
from scalespace.errors import InputError
from scalespace.toy import model as module
from scalespace.toy.config import CURES, ToyConfig
from scalespace.toy.model import Toy, fit
from scalespace.toy.trajectories import draw_noise, reverse
from scalespace.training.checkpoint import load_tensors, save_tensors

TINY = ToyConfig(epochs=2, batches=5, batch_size=16)


class Oracle(nn.Module):
    """The perfect network of a model: answers E[target | x_t], by Bayes' rule."""

    def __init__(self, model: Toy) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        x = x[:, :1]
        a, b = self.model.schedule.scales(round(float(u[0]) * self.model.schedule.last))
        x0, eps = self.model.mixture.mean(x, a, b), self.model.mixture.eps(x, a, b)
        return self.model.parametrization.target(x0, eps, a, b)


@pytest.mark.parametrize("points", [(-1.0, 1.0), (0.0, 2.0), (-2.0, 0.5, 0.7)])
@pytest.mark.parametrize("name", CURES)
def test_a_perfect_network_makes_the_exact_process(name: str, points: tuple[float, ...]) -> None:
    """Whatever it predicts, and whatever is done to its estimates."""
    model = Toy(ToyConfig(points).changed(CURES[name].changes), 0)
    noise = draw_noise(0, 200, 20)
    exact, exact_x0 = reverse(model.solver, model.exact, model.segment, noise)
    model.net = Oracle(model)  # type: ignore[assignment]
    learnt, learnt_x0 = reverse(model.solver, model.learnt, model.segment, noise)
    torch.testing.assert_close(learnt, exact, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(learnt_x0, exact_x0, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("predict", PARAMETRIZATIONS)
def test_with_the_mean_as_the_target_the_perfect_network_has_no_loss(predict: str) -> None:
    """What is left of the loss of a perfect network is chance, and the mean takes it away."""
    model = Toy(ToyConfig().changed({"process.predict": predict, "objective.target": "mean"}), 0)

    def perfect(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        ab = model.schedule.alpha_bar[(u * model.schedule.last).round().long()].float()[:, None]
        a, b = ab.sqrt(), (1 - ab).sqrt()
        x0, eps = model.mixture.mean(x, a, b), model.mixture.eps(x, a, b)
        return model.parametrization.target(x0, eps, a, b).float()

    model.predict = perfect  # type: ignore[method-assign]
    x0 = model.mixture.draw(500, torch.Generator().manual_seed(0)).float()
    losses = model.losses(x0, torch.Generator().manual_seed(1))
    assert float(losses.max()) < 1e-6
    sample = replace(model.objective, target="sample")
    by_sample = sample.losses(perfect, x0, Condition(), torch.Generator().manual_seed(1))
    assert float(by_sample.mean()) > 0.05


def test_the_exact_denoiser_is_the_known_one() -> None:
    model, x = Toy(ToyConfig(), 0), torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    a, b = model.schedule.scales(4)
    torch.testing.assert_close(model.exact(x, 4, Condition()), torch.tanh(a * x / b**2))


def test_the_papers_settings() -> None:
    model = Toy(ToyConfig(), 0)
    assert model.schedule.last == 19
    assert sum(p.numel() for p in model.parameters()) == 4417
    config = model.config
    assert (config.epochs, config.batches, config.batch_size, config.lr) == (200, 100, 128, 1e-4)
    assert (model.parametrization.name, config.process.power) == ("noise", 1.5)


def test_learnt_reads_the_predicted_noise() -> None:
    model = Toy(ToyConfig(), 0).double()
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    a, b = model.schedule.scales(7)
    eps = model.net(x, torch.full((5,), 7 / 19, dtype=torch.float64)).detach()
    torch.testing.assert_close(model.learnt(x, 7, Condition()), (x - b * eps) / a)


@pytest.mark.parametrize("rule", ["none", "clip"])
def test_a_self_conditioned_network_is_told_its_last_estimate(rule: str) -> None:
    changes = {"objective.self_condition": True, "process.x0": rule}
    model = Toy(ToyConfig().changed(changes), 0).double()
    seen: list[Tensor] = []

    def spy(x: Tensor, u: Tensor) -> Tensor:
        seen.append(x.clone())
        return x[:, :1] / 2

    model.net.forward = spy  # type: ignore[method-assign]
    noise = draw_noise(0, 3, 20)
    _, x0_hat = reverse(model.solver, model.learnt, model.segment, noise)
    assert seen[0].shape == (3, 2)
    assert not seen[0][:, 1].any()  # there is none yet
    for k in range(1, 19):
        torch.testing.assert_close(seen[k][:, 1], x0_hat[19 - k])
    model.learnt(noise[0], 19, Condition())
    assert not seen[-1][:, 1].any()  # and none is left over from another run


def test_training_learns_and_depends_on_the_seed_alone(tmp_path: Path) -> None:
    config = ToyConfig(epochs=6, lr=3e-3)
    x = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)[:, None]

    def error(model: Toy) -> float:
        learnt, exact = (denoise(x, 8, Condition()) for denoise in (model.learnt, model.exact))
        return float((learnt - exact).square().mean())

    trained = fit(config, 0, tmp_path / "a", progress=False)
    assert error(trained) < 0.3 * error(Toy(config, 0).double())
    again = fit(config, 0, tmp_path / "b", progress=False)
    other = fit(config, 1, tmp_path / "a", progress=False)
    for one, same, different in zip(
        *(m.parameters() for m in (trained, again, other)), strict=True
    ):
        assert torch.equal(one, same)
        assert not torch.equal(one, different)


def test_the_learning_rate_falls_as_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    class Watched(torch.optim.Adam):
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            rates.append(self.param_groups[0]["lr"])
            super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Watched)
    for decay, right in [("none", [1.0] * 10), ("linear", [1 - k / 10 for k in range(10)])]:
        rates.clear()
        fit(TINY.changed({"lr": 0.5, "decay": decay}), 0, tmp_path, progress=False)
        assert rates == pytest.approx([0.5 * share for share in right])


def test_a_trained_network_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = fit(TINY, 0, tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    _, record = load_tensors(path)
    assert record["config"]["epochs"] == 2
    assert 0 < record["loss"] < 10

    def refuse(*_: object) -> float:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "_train", refuse)
    kept = fit(TINY, 0, tmp_path, progress=False)
    for one, same in zip(trained.parameters(), kept.parameters(), strict=True):
        assert torch.equal(one, same)
    # what matters in sampling alone needs no other training; all else does
    fit(TINY.changed({"process.x0": "clip", "process.sampler": "ddim"}), 0, tmp_path, False)
    for other, seed in [(TINY, 1), (TINY.changed({"lr": 1e-3}), 0), (ToyConfig((0, 2)), 0)]:
        with pytest.raises(AssertionError, match="trained again"):
            fit(other, seed, tmp_path, progress=False)


def test_damaged_networks_are_refused(tmp_path: Path) -> None:
    fit(TINY, 0, tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    tensors, record = load_tensors(path)

    def refused(says: str) -> None:
        with pytest.raises(InputError, match=says):
            fit(TINY, 0, tmp_path, progress=False)

    save_tensors(path, tensors, {**record, "seed": 1})
    refused("another training than its name says")
    save_tensors(path, {**tensors, "layers.0.bias": torch.full((64,), math.nan)}, record)
    refused("not finite")
    save_tensors(path, {**tensors, "layers.0.bias": torch.zeros(3)}, record)
    refused("does not fit")
    path.write_bytes(path.read_bytes()[:100])
    refused("damaged")


def test_a_training_that_diverges_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"diverged .*smaller lr"):
        fit(TINY.changed({"lr": 1e30}), 0, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
