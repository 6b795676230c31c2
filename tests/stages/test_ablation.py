"""Each switch against its formula, written out here from the design's list of deviations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tiny
from scalespace.bench.latency import macs
from scalespace.config import AblationConfig, NetConfig, ProcessConfig, Recipe
from scalespace.core.denoiser import Condition
from scalespace.core.noise import NoiseStreams, Seeded
from scalespace.core.sampling import Step, run
from scalespace.core.schedule import cosine
from scalespace.core.segment import Segment
from scalespace.core.solvers import renoise
from scalespace.data.info import DataInfo
from scalespace.errors import InputError
from scalespace.methods.latent import LATENT
from scalespace.methods.small import SMALL
from scalespace.settings import make_training
from scalespace.stages.ablation import Ablated, batch_statistics
from scalespace.stages.denoising import Diffusion
from scalespace.stages.diffusion import DiffusionStage

INFO = DataInfo("digits", ("a", "b", "c"), 12, 12, 0.5, 0.4, "abc")
STAGE = DiffusionStage("baseline", states=6)
BATCH_NET = NetConfig(channels=(4, 8), norm="batch")
LABELS = torch.tensor([0, 1, 2, 0, 1])


def model(
    norm: str = "batch", x0: str = "none", stage: DiffusionStage = STAGE, **wrong: Any
) -> Any:
    """An untrained model whose batch norms remember something other than what they see."""
    net = BATCH_NET if norm == "batch" else tiny.NET
    process = ProcessConfig(predict="noise", x0=x0)  # type: ignore[arg-type]
    recipe = Recipe(net, process, ablation=AblationConfig(**wrong))
    torch.manual_seed(0)
    made = stage.build(recipe, INFO)
    rng = torch.Generator().manual_seed(1)
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(generator=rng)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2, generator=rng)  # type: ignore[union-attr]
    return made.eval()


def steps(of: Diffusion, labels: Tensor = LABELS, seed: int = 3) -> list[Step]:
    return tiny.alone(of, labels, seed)


def noises(n: int, shape: tuple[int, ...] = (1, 12, 12), seed: int = 3) -> Callable[[], Tensor]:
    streams = NoiseStreams(seed, range(n), "baseline")
    return lambda: streams.normal(shape)


def prediction(of: Diffusion, x: Tensor, t: float) -> Tensor:
    """What the network says, with its norms as they are."""
    with torch.no_grad():
        return of.predict(x, torch.full((len(x),), t / 5), Condition(LABELS[: len(x)]))


# The formulas' own tables
BAR = cosine(6).alpha_bar.numpy()


def alpha(t: int) -> float:
    return float(BAR[t] / BAR[t - 1])


def test_nothing_wrong_is_the_ordinary_stage() -> None:
    assert type(model()) is Diffusion
    assert type(model(unit_range=True)) is Diffusion
    for name in AblationConfig.SAMPLING:
        assert type(model(**{name: True})) is Ablated


def test_estimate_with_the_wrong_alpha() -> None:
    """x0_hat = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_t), then the true posterior."""
    found, of = steps(model(alpha=True)), model()
    for before, after in itertools.pairwise(found):
        t = before.t
        eps = prediction(of, before.x, t)
        expected = (before.x - math.sqrt(1 - BAR[t]) * eps) / math.sqrt(alpha(t))
        assert after.x0_hat is not None
        torch.testing.assert_close(after.x0_hat, expected, rtol=1e-4, atol=1e-5)
    # the last step divides by the same number in both
    right = steps(model())
    assert not torch.allclose(right[1].x0_hat, found[1].x0_hat, rtol=0.1)  # type: ignore[arg-type]
    assert alpha(1) == pytest.approx(BAR[1])
    torch.testing.assert_close(found[-1].x, found[-1].x0_hat)


def test_renoising_draws_fresh_noise_and_forgets_the_state() -> None:
    """sqrt(alpha_bar_{t-1}) x0_hat + sqrt(1 - alpha_bar_{t-1}) eps; no noise in the last step."""
    found, noise = steps(model(renoise=True)), noises(5)
    torch.testing.assert_close(found[0].x, noise())
    for after in found[1:]:
        assert after.x0_hat is not None
        expected = math.sqrt(BAR[after.t]) * after.x0_hat
        if after.t:
            expected = expected + math.sqrt(1 - BAR[after.t]) * noise()
        torch.testing.assert_close(after.x, expected, rtol=1e-5, atol=1e-5)
    assert [step.t for step in found] == [5, 4, 3, 2, 1, 0]
    # the estimates themselves are the right ones
    eps = prediction(model(), found[2].x, found[2].t)
    expected = (found[2].x - math.sqrt(1 - BAR[3]) * eps) / math.sqrt(BAR[3])
    torch.testing.assert_close(found[3].x0_hat, expected, rtol=1e-4, atol=1e-4)


def test_renoising_has_the_marginals_of_the_forward_process() -> None:
    """Given the true x0, its states are q(x_t | x_0): mean and variance of many draws."""
    schedule, rng = cosine(5), torch.Generator().manual_seed(0)
    x0 = torch.full((40_000, 1, 1, 1), 0.7)

    class Draws:
        def normal(self, shape: Sequence[int]) -> Tensor:
            return torch.randn((len(x0), *shape), generator=rng)

    segment, draws = Segment("renoised", schedule, (1, 1, 1)), Draws()
    tables = segment.tables(renoise, range(4, -1, -1))
    first = draws.normal(segment.shape)
    made = list(run(lambda x, t, told: x0, segment, tables, first, Condition(), draws))
    assert [step.t for step in made] == [4, 3, 2, 1, 0]
    for step in made[1:-1]:
        bar = float(schedule.alpha_bar[step.t])
        assert float(step.x.mean()) == pytest.approx(0.7 * math.sqrt(bar), abs=0.02)
        assert float(step.x.var()) == pytest.approx(1 - bar, rel=0.03)
    torch.testing.assert_close(made[-1].x, x0)


def by_hand(of: nn.Module) -> None:
    """Makes every batch norm of a model normalise by its batch, by the formula."""
    for part in of.modules():
        if isinstance(part, nn.BatchNorm2d):

            def forward(x: Tensor, norm: nn.BatchNorm2d = part) -> Tensor:
                mean = x.mean(dim=(0, 2, 3), keepdim=True)
                variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
                unit = (x - mean) / (variance + norm.eps).sqrt()
                return unit * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)

            part.forward = forward  # type: ignore[method-assign]


def test_batch_mode_normalises_by_the_batch() -> None:
    expected = model()
    by_hand(expected)
    found = steps(model(batch_mode=True))
    for one, other in zip(found, steps(expected), strict=True):
        torch.testing.assert_close(one.x, other.x, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(found[-1].x, steps(model())[-1].x, atol=0.1)
    # so an image depends on which others share its batch, as documented
    fewer = steps(model(batch_mode=True), LABELS[:3])[-1].x
    assert not torch.allclose(fewer, found[-1].x[:3], atol=1e-2)


def test_batch_mode_leaves_the_network_as_it_was() -> None:
    of = model(batch_mode=True)
    before = {name: value.clone() for name, value in of.state_dict().items()}
    for step in of.alone(Condition(LABELS), Seeded(3, range(5))):
        # between two steps too, where other code runs
        assert not any(part.training for part in of.modules()), step.t
    assert before.keys() == of.state_dict().keys()
    for name, value in of.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    norms = [part for part in of.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert all(norm.track_running_stats for norm in norms)
    # also when what runs within it fails, and for a network that is being trained
    of.train()
    with pytest.raises(ZeroDivisionError), batch_statistics(of):
        raise ZeroDivisionError
    assert all(norm.training and norm.track_running_stats for norm in norms)


def test_validation_does_not_see_the_switches() -> None:
    """A training is shared by variants that differ in sampling, its metrics too."""
    batch = (torch.randn((5, 1, 12, 12), generator=torch.Generator().manual_seed(0)),)

    def losses(of: Diffusion) -> Tensor:
        with torch.no_grad():
            return of.validate(batch, LABELS, torch.Generator().manual_seed(0))

    wrong = model(alpha=True, renoise=True, batch_mode=True)
    torch.testing.assert_close(losses(wrong), losses(model()), rtol=0, atol=0)


def test_an_image_alone_is_normalised_by_itself() -> None:
    """Where torch refuses: 1x1 pixels at the coarsest scale, a single value a channel."""
    of = model(batch_mode=True, stage=DiffusionStage("baseline", states=6, scale=2))
    deep = replace(BATCH_NET, channels=(4, 4, 4))  # 6 -> 3 -> 1
    torch.manual_seed(0)
    deepest = DiffusionStage("baseline", states=6, scale=2).build(
        Recipe(deep, ProcessConfig(), ablation=AblationConfig(batch_mode=True)), INFO
    )
    assert torch.isfinite(steps(deepest.eval(), LABELS[:1])[-1].x).all()
    # and the same as the statistics' definition says, where both can be had
    expected = model(stage=DiffusionStage("baseline", states=6, scale=2))
    by_hand(expected)
    found = steps(of, LABELS[:1])[-1].x
    torch.testing.assert_close(found, steps(expected, LABELS[:1])[-1].x, rtol=1e-3, atol=1e-3)


def test_clipping_still_applies_to_a_wrong_estimate() -> None:
    low, high = INFO.domain
    for step in steps(model(x0="clip", alpha=True))[1:]:
        assert step.x0_hat is not None
        assert low - 1e-6 <= float(step.x0_hat.min()) <= float(step.x0_hat.max()) <= high + 1e-6


def test_data_in_the_unit_range() -> None:
    config = replace(tiny.CONFIG, ablation=AblationConfig(unit_range=True))
    training = make_training(config, SMALL, 0, INFO)
    assert training.data == replace(INFO, mean=0.0, std=1.0)
    unit = torch.rand((2, 1, 12, 12))
    torch.testing.assert_close(training.data.standardize(unit), unit)
    assert training.build().domain == (0, 1)
    right = make_training(tiny.CONFIG, SMALL, 0, INFO)
    assert right.data == INFO
    assert training.identity != right.identity


@pytest.mark.parametrize("name", AblationConfig.SAMPLING)
def test_sampling_switches_share_a_training(name: str) -> None:
    wrong = replace(tiny.CONFIG, ablation=AblationConfig(**{name: True}))
    one, other = (make_training(config, SMALL, 0, INFO) for config in (wrong, tiny.CONFIG))
    assert one.identity == other.identity
    assert one.sampling == {**other.sampling, f"ablation.{name}": True}


def test_no_ablation_in_latents() -> None:
    config = replace(tiny.CONFIG, ablation=AblationConfig(renoise=True))
    with pytest.raises(InputError, match="ablations are of processes over images"):
        make_training(config, LATENT, 0, INFO).build()


# Loss by state


def batch_of(n: int = 20) -> tuple[tuple[Tensor], Tensor]:
    rng = torch.Generator().manual_seed(0)
    return (torch.randn((n, 1, 12, 12), generator=rng),), torch.arange(n) % 3


def test_losses_by_company_cannot_differ_without_batch_norm() -> None:
    found = model("group").losses_by_company(*batch_of(), batch_size=8)
    assert set(found) == {("single", "running"), ("mixed", "running")}
    torch.testing.assert_close(found["single", "running"], found["mixed", "running"])
    assert found["single", "running"].shape == (5,)


def test_running_statistics_do_not_see_the_company() -> None:
    found = model().losses_by_company(*batch_of(), batch_size=8)
    torch.testing.assert_close(found["single", "running"], found["mixed", "running"])
    apart = (found["single", "batch"] - found["mixed", "batch"]).abs()
    assert float(apart.max()) > 1e-3


def test_losses_by_company_are_the_mean_of_each_image_alone() -> None:
    """Running statistics: the loss of every image by itself, by the definition of the loss."""
    of, (batch, labels) = model(), batch_of(7)
    found = of.losses_by_company(batch, labels, batch_size=3)["mixed", "running"]
    again = of.losses_by_company(batch, labels, batch_size=7)["single", "running"]
    torch.testing.assert_close(found, again)
    many = [of.losses_by_company((batch[0].repeat(60, 1, 1, 1),), labels.repeat(60))]
    expected = []
    rng = torch.Generator().manual_seed(5)
    for t in range(1, 6):
        x0, y = batch[0].repeat(60, 1, 1, 1), labels.repeat(60)
        eps = torch.randn(x0.shape, generator=rng)
        x_t = math.sqrt(BAR[t]) * x0 + math.sqrt(1 - BAR[t]) * eps
        with torch.no_grad():
            guess = of.predict(x_t, torch.full((len(y),), t / 5), Condition(y))
        expected.append(float((guess - eps).square().mean()))
    # another noise: equal up to its chance
    np.testing.assert_allclose(many[0]["single", "running"].numpy(), expected, rtol=0.03)


def test_losses_by_company_leave_no_trace() -> None:
    of = model()
    before = {name: value.clone() for name, value in of.state_dict().items()}
    of.losses_by_company(*batch_of())
    for name, value in of.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert not of.training


def test_a_network_that_reads_the_batch_is_caught() -> None:
    """A batch norm alone knows how noisy its batch is: what is small when states are mixed is not
    when one state is alone."""

    class Reader(nn.Module):
        """Knows x_t up to a scale that only the batch tells; takes x_t for pure noise."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1, affine=False)

        def forward(self, x: Tensor, context: Tensor) -> Tensor:
            return self.norm(x)

    of = model()
    of.net = Reader().eval()
    of.net.norm.running_var.fill_(25.0)
    x0 = (torch.full((60, 1, 12, 12), 0.0),)  # x_t = sqrt(1 - alpha_bar_t) eps
    found = of.losses_by_company(x0, torch.zeros(60, dtype=torch.int64), batch_size=60)
    # of one state the norm makes unit noise of x_t, whatever its level: no error is left
    assert float(found["single", "batch"].max()) < 1e-2
    b = np.sqrt(1 - BAR[1:])
    mean_square = np.mean(b**2)
    expected = (b / np.sqrt(mean_square) - 1) ** 2
    np.testing.assert_allclose(found["mixed", "batch"].numpy(), expected, atol=0.02)
    np.testing.assert_allclose(found["mixed", "running"].numpy(), (b / 5 - 1) ** 2, rtol=0.05)


def test_an_image_alone_costs_no_more_for_being_made_two() -> None:
    """In batch mode: its multiply-adds are those of one image, as by the running statistics."""

    def counted(of: Diffusion) -> int:
        def produce(indices: range) -> None:
            labels = torch.zeros(len(indices), dtype=torch.int64)
            list(of.alone(Condition(labels), Seeded(3, indices)))

        return macs(produce)

    assert counted(model(batch_mode=True)) == counted(model()) > 0
