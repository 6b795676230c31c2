from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from scalespace.config import ObjectiveConfig
from scalespace.core.denoiser import Condition
from scalespace.core.objective import Objective
from scalespace.core.schedule import flow
from scalespace.core.solvers import ddim
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.methods import stages
from scalespace.methods.latent import LATENT, LATENT_FLOW
from scalespace.methods.vae import AUTOENCODER
from scalespace.model import Model, train
from scalespace.settings import make_training
from scalespace.stages.base import Models
from scalespace.stages.latent import LatentDiffusion
from scalespace.stages.vae import VAE
from scalespace.training import Training, fit
from scalespace.training.checkpoint import load_tensors

Trained = Callable[[str], Model]


def latent(splits: DataSplits, **changes: Any) -> Training:
    """The training of the stage `latent` with changes to the tiny config."""
    return make_training(replace(tiny.CONFIG, **changes), LATENT, 0, splits.info)


def make(trained: Trained, splits: DataSplits) -> tuple[LatentDiffusion, VAE]:
    """An untrained process in the latents of the trained autoencoder."""
    autoencoder = trained("vae").models["vae"]
    assert isinstance(autoencoder, VAE)
    model = latent(splits).build(Models({"vae": autoencoder}))
    assert isinstance(model, LatentDiffusion)
    return model, autoencoder


def standardised(splits: DataSplits) -> Tensor:
    return splits.info.standardize(splits.train.unit())


# What it is trained on


def test_prepare_gives_normalised_mean_and_deviation(trained: Trained, splits: DataSplits) -> None:
    model, autoencoder = make(trained, splits)
    autoencoder.train()  # as a careless caller may leave it: batch norm must not see the batch
    mean, std = model.prepare(standardised(splits))
    with torch.no_grad():
        raw, log_variance = autoencoder.eval().encoder(autoencoder.pad(splits.train.unit()))
    channel = (slice(None), None, None)
    latent_mean, latent_std = autoencoder.latent_mean[:, 0, 0], autoencoder.latent_std[:, 0, 0]
    torch.testing.assert_close(mean, (raw - latent_mean[channel]) / latent_std[channel])
    expected = torch.exp(log_variance / 2) / latent_std[channel]
    torch.testing.assert_close(std, expected)
    assert mean.shape == (99, *autoencoder.shape)
    # what is learnt has mean 0 and deviation 1, near enough for one draw
    drawn = mean + std * torch.randn(mean.shape, generator=torch.Generator().manual_seed(4))
    assert float(drawn.mean().abs()) < 0.1
    assert float(drawn.std()) == pytest.approx(1, abs=0.1)
    # and can be used in training: no inference-mode tensors, no gradient into the autoencoder
    assert not mean.is_inference()
    assert not mean.requires_grad


def test_a_posterior_sample_is_drawn_anew_each_step(
    trained: Trained, splits: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = make(trained, splits)
    mean, std = model.prepare(standardised(splits))
    labels = splits.train.labels
    drawn: list[Tensor] = []
    losses = Objective.losses

    def note(self: Objective, network: Any, x0: Tensor, *rest: Any) -> Tensor:
        drawn.append(x0)
        return losses(self, network, x0, *rest)

    monkeypatch.setattr(Objective, "losses", note)
    for seed in (0, 0, 1):
        model((mean, std), labels, torch.Generator().manual_seed(seed))
    first, again, other = drawn
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    for x0 in (first, other):
        eps = (x0 - mean) / std
        n = eps.numel()
        assert float(eps.mean().abs()) < 5 / n**0.5
        assert float(eps.std()) == pytest.approx(1, abs=5 / (2 * n) ** 0.5)
    correlation = float(((first - mean) / std * (other - mean) / std).mean())
    assert abs(correlation) < 5 / mean.numel() ** 0.5
    # the noise that is added afterwards is none of the posterior's
    drawn.clear()
    rng = torch.Generator().manual_seed(2)
    [x0] = model.posterior_sample((mean, std), rng)
    _, eps = model.objective.draw(x0, rng)
    assert abs(float(((x0 - mean) / std * eps).mean())) < 5 / eps.numel() ** 0.5


def test_validation_is_the_loss_at_each_state(trained: Trained, splits: DataSplits) -> None:
    model, _ = make(trained, splits)
    batch, labels = model.prepare(standardised(splits)), splits.train.labels
    found = model.eval().validate(batch, labels, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    [x0] = model.posterior_sample(batch, rng)
    schedule = model.segment.schedule
    for column, state in enumerate((1, 2)):
        eps = torch.randn(x0.shape, generator=rng)
        a, b = (
            float(part) ** 0.5
            for part in (schedule.alpha_bar[state], 1 - schedule.alpha_bar[state])
        )
        t = torch.full((len(labels),), state / 2)
        with torch.no_grad():
            said = model.predict(a * x0 + b * eps, t, Condition(labels))
        expected = (said - (a * eps - b * x0)).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(found[:, column].detach(), expected, rtol=1e-4, atol=1e-5)


# The autoencoder is another stage's


def test_the_autoencoders_weights_are_no_part_of_it(trained: Trained, splits: DataSplits) -> None:
    model, autoencoder = make(trained, splits)
    assert all(name.startswith("net.") or name == "extent" for name in model.state_dict())
    theirs = {id(p) for p in autoencoder.parameters()}
    assert not theirs & {id(p) for p in model.parameters()}
    assert not any(module is autoencoder for module in model.modules())


def test_training_leaves_the_autoencoder_as_it_is(splits: DataSplits, tmp_path: Path) -> None:
    job = latent(splits)
    own = fit(job.needs[0], splits, tmp_path, tiny.CPU)
    file = job.needs[0].folder(tmp_path) / "stage.safetensors"
    before, written = file.read_bytes(), file.stat().st_mtime_ns
    fit(job, splits, tmp_path, tiny.CPU)
    assert file.read_bytes() == before
    assert file.stat().st_mtime_ns == written
    model = train("latent", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    for name, value in model.models["vae"].state_dict().items():
        assert torch.equal(value, own.ema[name])
    tensors, _ = load_tensors(job.folder(tmp_path) / "stage.safetensors")
    assert {name.split(".")[1] for name in tensors} == {"net", "extent"}


def test_what_it_needs_is_trained_first_and_shared(splits: DataSplits, tmp_path: Path) -> None:
    def folders() -> list[str]:
        return sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir())

    job = latent(splits)
    fit(job, splits, tmp_path, tiny.CPU)
    assert folders() == ["latent", "vae"]
    [file] = tmp_path.glob("vae-*/stage.safetensors")
    written = file.stat().st_mtime_ns
    train("latent-flow", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    train("vae", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    assert folders() == ["latent", "latent-flow", "vae"]
    assert file.stat().st_mtime_ns == written


def test_stages_and_what_they_need() -> None:
    assert LATENT.needs == LATENT_FLOW.needs == (AUTOENCODER,)
    for name in ("baseline", "small", "upscaler", "vae", "judge"):
        assert stages()[name].needs == ()


def test_identity_follows_the_autoencoder(splits: DataSplits) -> None:
    ours = latent(splits)
    beta = latent(splits, autoencoder=replace(tiny.AUTOENCODER, beta=0.9))
    longer = latent(splits, stages={**tiny.STAGES, "vae": {"train": {"epochs": 99}}})
    prior = latent(splits, autoencoder=replace(tiny.AUTOENCODER, prior="normal"))
    assert ours.recipe == beta.recipe == longer.recipe
    assert len({ours.identity, beta.identity, longer.identity}) == 3
    assert prior.identity == ours.identity  # it matters in sampling alone
    assert (
        ours.needs[0].identity == make_training(tiny.CONFIG, AUTOENCODER, 0, splits.info).identity
    )
    other_seed = make_training(tiny.CONFIG, LATENT, 1, splits.info)
    assert other_seed.needs[0].seed == 1


def test_another_autoencoder_is_another_process(splits: DataSplits, tmp_path: Path) -> None:
    """The same recipe in the latents of another autoencoder comes to other weights."""
    changed = replace(tiny.CONFIG, autoencoder=replace(tiny.AUTOENCODER, beta=0.9))
    one, other = (
        train("latent", splits, config, tmp_path, 0, tiny.CPU) for config in (tiny.CONFIG, changed)
    )
    assert one.hash != other.hash
    pairs = zip(one.stages["latent"].raw.values(), other.stages["latent"].raw.values(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)
    assert len(list(tmp_path.glob("vae-*"))) == len(list(tmp_path.glob("latent-*"))) == 2


# Sampling


@pytest.mark.parametrize("name", ["latent", "latent-flow"])
def test_images_are_the_decoded_end_of_the_process(name: str, trained: Trained) -> None:
    model, labels = trained(name), [2, 0, 1]
    autoencoder, ours = model.models.values()
    assert isinstance(autoencoder, VAE)
    assert isinstance(ours, LatentDiffusion)
    steps = tiny.alone(ours, torch.tensor(labels), 3)
    *shown, last = model.trajectory(labels, seed=3)
    assert len(shown) == len(steps) == 3
    torch.testing.assert_close(last.x, autoencoder.decode(steps[-1].x))
    h, w = autoencoder.shape[1:]
    for step, sheet in zip(steps, shown, strict=True):
        assert step.x.shape == (3, *autoencoder.shape)
        assert step.t == sheet.t
        # the first channel is in the upper left of what is shown
        torch.testing.assert_close(sheet.x[:, 0, :h, :w], step.x[:, 0])


def test_estimates_are_kept_within_the_latents_seen_in_training(
    trained: Trained, splits: DataSplits
) -> None:
    ours = trained("latent").models["latent"]
    assert isinstance(ours, LatentDiffusion)
    autoencoder = trained("vae").models["vae"]
    assert isinstance(autoencoder, VAE)
    mean, _ = autoencoder.encode(autoencoder.pad(splits.train.unit()))
    largest = float(mean.abs().max())
    assert ours.domain == pytest.approx((-largest, largest))
    assert largest > 1.5
    final = ours.net.final.weight
    kept = final.clone()
    with torch.no_grad():
        final.mul_(1000)
    try:
        for step in tiny.alone(ours, torch.tensor([0, 1]))[1:]:
            assert step.x0_hat is not None
            assert float(step.x0_hat.abs().max()) == pytest.approx(largest)
    finally:
        with torch.no_grad():
            final.copy_(kept)


def test_flow_is_flow(trained: Trained) -> None:
    """The straight path's schedule, its velocity, and Euler steps."""
    ours = trained("latent-flow").models["latent-flow"]
    assert isinstance(ours, LatentDiffusion)
    assert ours.parametrization.name == "flow"
    torch.testing.assert_close(ours.segment.schedule.alpha_bar, flow(3).alpha_bar)
    assert (ours.solver.make, ours.solver.eta) == (ddim, 0)
    diffusion = trained("latent").models["latent"]
    assert isinstance(diffusion, LatentDiffusion)
    assert (diffusion.parametrization.name, diffusion.solver.name) == ("v", "ancestral")
    assert not torch.equal(diffusion.segment.schedule.alpha_bar, ours.segment.schedule.alpha_bar)


def test_grids_show_decoded_samples(trained: Trained, splits: DataSplits) -> None:
    ours, autoencoder = make(trained, splits)
    batch = ours.prepare(standardised(splits)[:3])
    found = ours.eval().preview(batch, splits.train.labels[:3], seed=2)
    *_, last = tiny.alone(ours, splits.train.labels[:3], 2)
    torch.testing.assert_close(found, autoencoder.decode(last.x))
    assert found.shape == (3, 1, 12, 12)


def test_a_network_too_deep_for_the_latents(splits: DataSplits) -> None:
    with pytest.raises(InputError, match=r"stage 'latent': net.channels \[4, 4, 4\].*2x2"):
        latent(splits, net=replace(tiny.NET, channels=(4, 4, 4))).build()
    odd = replace(tiny.AUTOENCODER, channels=(4, 4, 4, 4))
    with pytest.raises(InputError, match=r"multiples of 2, and its are 1x1"):
        latent(splits, net=replace(tiny.NET, channels=(4,), patch=2), autoencoder=odd).build()


def test_latents_that_are_drawn_anew_have_no_mean_to_aim_at(splits: DataSplits) -> None:
    recipe = replace(tiny.RECIPE, objective=ObjectiveConfig(target="mean"))
    training = replace(latent(splits), recipe=recipe)
    with pytest.raises(InputError, match=r"objective\.target: the latents of stage 'latent'"):
        training.build()


def test_latents_too_large_for_a_gaussian_of_each_class(splits: DataSplits) -> None:
    """256 channels at 6x6 pixels would need a matrix of 9216 rows for each class."""
    large = replace(tiny.AUTOENCODER, channels=(4,), latent=256)
    with pytest.raises(InputError, match=r"stage 'vae': latents of 256x6x6 are more than 4096"):
        latent(splits, autoencoder=large).build()
    latent(splits, autoencoder=replace(large, latent=100)).build()


def test_without_labels_nothing_of_the_class_reaches_the_network(
    trained: Trained, splits: DataSplits
) -> None:
    blind = latent(splits, process=replace(tiny.PROCESS, labels=False)).build()
    assert isinstance(blind, LatentDiffusion)
    contexts: list[Tensor] = []
    blind.net.register_forward_pre_hook(lambda _, inputs: contexts.append(inputs[1]))
    blind.eval()
    x, labels = torch.randn(3, *blind.segment.shape), torch.tensor([0, 1, 2])
    blind((x, torch.ones_like(x)), labels, torch.Generator().manual_seed(0))
    tiny.alone(blind, labels)
    assert len(contexts) == 3
    for context in contexts:
        assert context.shape == (3, 1 + 3)
        assert float(context[:, 1:].abs().max()) == 0
        assert float(context[:, 0].min()) > 0
    assert np.array(blind.facts()["conditional"]) == np.array(False)
