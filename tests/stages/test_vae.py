from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, distributions

import tiny
from scalespace.config import AutoencoderRecipe
from scalespace.core.noise import NoiseStreams, Seeded
from scalespace.data import DataSplits
from scalespace.data.info import DataInfo
from scalespace.methods.vae import AUTOENCODER
from scalespace.model import Model
from scalespace.settings import make_training
from scalespace.stages.vae import JITTER, SHOWN, STEPS, TRAVERSAL, VAE, sheet

Trained = Callable[[str], Model]
INFO = DataInfo("tiny", ("a", "b", "c"), 12, 12, 0.4, 0.3)


def build(info: DataInfo = INFO, **fields: object) -> VAE:
    """An untrained autoencoder, its statistics as training leaves them: anything."""
    autoencoder = replace(tiny.AUTOENCODER, **fields)  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = AUTOENCODER.build(AutoencoderRecipe(autoencoder), info).eval()
    rng = torch.Generator().manual_seed(1)
    model.latent_mean.copy_(torch.randn(model.latent_mean.shape, generator=rng))
    model.latent_std.copy_(torch.rand(model.latent_std.shape, generator=rng) + 0.5)
    return model


def trained_vae(trained: Trained) -> VAE:
    model = trained("vae").models["vae"]
    assert isinstance(model, VAE)
    return model


def bordered(unit: Tensor, side: int) -> NDArray[np.float32]:
    """Images in the middle of black squares."""
    n, _, h, w = unit.shape
    out = np.zeros((n, 1, side, side), dtype=np.float32)
    top, left = (side - h) // 2, (side - w) // 2
    out[:, :, top : top + h, left : left + w] = unit.numpy()
    return out


# From images to latents and back


@pytest.mark.parametrize(
    ("height", "width", "shape"),
    [
        (12, 12, (4, 2, 2)),
        (28, 28, (4, 4, 4)),
        (13, 27, (4, 2, 4)),
        (16, 8, (4, 2, 1)),
        (29, 5, (4, 4, 1)),
    ],
)
def test_any_size_is_padded_to_whole_latents_and_cropped_back(
    height: int, width: int, shape: tuple[int, ...]
) -> None:
    info = DataInfo("odd", ("a", "b"), height, width, 0.4, 0.3)
    model = build(info)  # reduces by 8
    assert model.shape == shape
    unit = torch.rand(3, 1, height, width)
    x = model.pad(unit)
    assert x.shape == (3, 1, 8 * shape[1], 8 * shape[2])
    torch.testing.assert_close(model.crop(x), unit, rtol=0, atol=0)
    assert float(x.sum()) == pytest.approx(float(unit.sum()), rel=1e-5)  # the border is black
    mean, std = model.encode(x)
    assert mean.shape == std.shape == (3, *shape)
    assert bool((std > 0).all())
    image = model.decode(mean)
    assert image.shape == unit.shape
    made = info.to_unit(image)
    # already clipped to what a pixel can be: taking it to pixels changes nothing
    torch.testing.assert_close(info.standardize(made), image)


def test_preparing_is_padding_the_pixels() -> None:
    model, unit = build(), torch.rand(4, 1, 12, 12)
    [x] = model.prepare(INFO.standardize(unit))
    np.testing.assert_allclose(x.numpy(), bordered(unit, 16), atol=1e-6)


def test_normalising_latents_changes_no_image() -> None:
    """Encoding divides by the statistics that decoding multiplies with."""
    model, x = build(), torch.rand(5, 1, 16, 16)
    with torch.no_grad():
        mean, log_variance = model.encoder(x)
        raw = model.decoder(mean)[:, :, 2:-2, 2:-2].clamp(0, 1)
    found_mean, found_std = model.encode(x)
    torch.testing.assert_close(INFO.to_unit(model.decode(found_mean)), raw)
    torch.testing.assert_close(found_mean * model.latent_std + model.latent_mean, mean)
    torch.testing.assert_close(found_std * model.latent_std, torch.exp(log_variance / 2))


def test_many_images_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from scalespace.stages import vae

    model, x = build(), torch.rand(7, 1, 16, 16)
    whole = model.encode(x)
    image = model.decode(whole[0])
    monkeypatch.setattr(vae, "PART", 3)
    for one, other in zip(whole, model.encode(x), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.decode(whole[0]), image, atol=1e-5, rtol=1e-5)


# The loss


@pytest.mark.parametrize("beta", [0.0, 0.3, 2.0])
def test_loss_against_the_formula(beta: float, trained: Trained) -> None:
    """Summed squared error of one posterior sample, and beta times the summed KL."""
    model, labels = build(beta=beta), torch.zeros(6, dtype=torch.int64)
    # untrained, its deviations are all about 1 and its images hardly depend on the latents
    model.load_state_dict(trained_vae(trained).state_dict())
    batch = model.prepare(INFO.standardize(torch.rand(6, 1, 12, 12)))
    with torch.no_grad():
        mean, log_variance = model.encoder(batch[0])
        eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
        posterior = distributions.Normal(mean, torch.exp(log_variance / 2))
        rebuilt = model.decoder(posterior.mean + posterior.stddev * eps)
        kl = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0))
    expected = ((rebuilt - batch[0]) ** 2).sum(dim=(1, 2, 3)) + beta * kl.sum(dim=(1, 2, 3))
    loss = model(batch, labels, torch.Generator().manual_seed(3))
    torch.testing.assert_close(loss.detach(), expected)
    [level] = model.validate(batch, labels, torch.Generator().manual_seed(3)).T
    torch.testing.assert_close(level.detach(), expected)


def test_training_teaches_it_to_rebuild(trained: Trained, splits: DataSplits) -> None:
    """Better than the best single picture for all, on images that it did not see."""
    val = splits.val.unit()
    mean_picture = splits.train.unit().mean(dim=0)
    alike = float((val - mean_picture).square().mean())
    found = trained_vae(trained).inspect(val, splits.val.labels)
    assert found["error"].mean() < 0.6 * alike


# What is fitted once training is over


@pytest.fixture
def fitted(splits: DataSplits) -> tuple[VAE, tuple[Tensor, ...], NDArray[np.float64]]:
    """A model after `finish`, what it was given, and the latents that this draws, as they are."""
    training = make_training(tiny.CONFIG, AUTOENCODER, 0, splits.info)
    model = training.build()
    assert isinstance(model, VAE)
    batch = model.prepare(splits.info.standardize(splits.train.unit()))
    model.train()
    model(batch, splits.train.labels, torch.Generator())  # moves the statistics of batch norm
    model.eval()
    with torch.no_grad():
        mean, log_variance = model.encoder(batch[0])
        eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
        raw = (mean + torch.exp(log_variance / 2) * eps).double().numpy()
        model.train()
        model.finish(batch, splits.train.labels)
    return model, batch, raw


Fitted = tuple[VAE, tuple[Tensor, ...], NDArray[np.float64]]


def test_latents_are_normalised_by_channel(fitted: Fitted) -> None:
    model, batch, raw = fitted
    np.testing.assert_allclose(model.latent_mean[:, 0, 0], raw.mean(axis=(0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(
        model.latent_std[:, 0, 0], raw.std(axis=(0, 2, 3), ddof=1), rtol=1e-4
    )
    # with other noise, too, posterior samples have mean 0 and deviation 1 in each channel
    mean, std = model.eval().encode(batch[0])
    n = mean[:, 0].numel()
    z = mean + std * torch.randn(mean.shape, generator=torch.Generator().manual_seed(9))
    assert float(z.mean(dim=(0, 2, 3)).abs().max()) < 5 / n**0.5
    np.testing.assert_allclose(z.std(dim=(0, 2, 3)).numpy(), 1, atol=5 / (n / 2) ** 0.5)


def test_a_gaussian_for_each_class(fitted: Fitted, splits: DataSplits) -> None:
    model, _, raw = fitted
    centred = raw - raw.mean(axis=(0, 2, 3), keepdims=True)
    z = (centred / raw.std(axis=(0, 2, 3), ddof=1, keepdims=True)).reshape(len(raw), -1)
    for label in range(3):
        own = z[splits.train.labels.numpy() == label]
        assert len(own) == 33
        np.testing.assert_allclose(model.class_mean[label], own.mean(axis=0), atol=1e-4)
        root = model.class_root[label].double().numpy()
        expected = np.cov(own.T) + JITTER * np.eye(z.shape[1])
        np.testing.assert_allclose(root @ root.T, expected, atol=1e-4)


def test_a_class_of_one_image_keeps_the_standard_normal(splits: DataSplits) -> None:
    model = make_training(tiny.CONFIG, AUTOENCODER, 0, splits.info).build()
    assert isinstance(model, VAE)
    batch = model.prepare(splits.info.standardize(splits.train.unit()[:9]))
    model.finish(batch, torch.tensor([0] * 8 + [1]))
    d = model.class_mean.shape[1]
    for label in (1, 2):
        assert float(model.class_mean[label].abs().max()) == 0
        torch.testing.assert_close(model.class_root[label], torch.eye(d))
    assert float(model.class_mean[0].abs().max()) > 0
    assert bool(torch.isfinite(model.class_root).all())


# The prior


def test_draws_have_the_moments_of_their_class() -> None:
    model, n = build(), 10_000
    d = model.class_mean.shape[1]
    rng = np.random.default_rng(0)
    model.class_mean.copy_(torch.from_numpy(rng.normal(size=(3, d))))
    roots = np.tril(rng.normal(size=(3, d, d)) / d**0.5)
    model.class_root.copy_(torch.from_numpy(roots))
    for label in (0, 2):
        z = model.latents(torch.full((n,), label), Seeded(0, range(n))).flatten(1).double().numpy()
        covariance = roots[label] @ roots[label].T
        sd = np.sqrt(np.diag(covariance))
        assert np.abs(z.mean(axis=0) - model.class_mean[label].numpy()).max() < 5 * sd.max() / 100
        np.testing.assert_allclose(np.cov(z.T), covariance, atol=5 * 2**0.5 * sd.max() ** 2 / 100)


def test_the_normal_prior_is_standard_in_the_units_of_training() -> None:
    model = build(prior="normal")
    z = model.latents(torch.tensor([0, 2, 1]), Seeded(7, [4, 5, 4]))
    raw = z * model.latent_std + model.latent_mean
    expected = NoiseStreams(7, [4, 5, 4], "vae").normal(model.shape)
    torch.testing.assert_close(raw, expected)
    torch.testing.assert_close(z[0], z[2])  # whatever the label
    assert (model.conditional, build(prior="class").conditional) == (False, True)


def test_samples_look_like_their_class(trained: Trained, splits: DataSplits) -> None:
    """The tiny classes are bright on the left, the right and at the top."""
    samples = trained("vae").sample([0, 1, 2] * 30)
    centres = [splits.train.unit()[splits.train.labels == c].mean(dim=(0, 1)) for c in range(3)]
    for label in range(3):
        mean = samples.images[samples.labels == label].mean(axis=0)
        distances = [float(np.abs(mean - centre.numpy()).mean()) for centre in centres]
        assert int(np.argmin(distances)) == label


# Looking inside


def test_what_it_shows(trained: Trained, splits: DataSplits) -> None:
    model, images, labels = trained_vae(trained), splits.val.unit(), splits.val.labels
    found = model.inspect(images, labels)
    first = [int(np.flatnonzero(labels.numpy() == c)[0]) for c in range(3)]
    numbers = int(np.prod(model.shape))
    k = min(SHOWN, numbers)
    shapes = {
        "originals": (3, 12, 12),
        "reconstructions": (3, 12, 12),
        "interpolations": (3, STEPS, 12, 12),
        "traversals": (k, STEPS, 12, 12),
        "traversed": (k,),
        "kl": model.shape,
        "posterior_std": model.shape,
        "error": (len(images),),
    }
    assert {key: array.shape for key, array in found.items()} == shapes
    np.testing.assert_array_equal(found["originals"], images[first, 0].numpy())

    with torch.no_grad():
        mean, log_variance = model.encoder(model.pad(images))
        rebuilt = model.crop(model.decoder(mean)).clamp(0, 1)[:, 0].numpy()
    posterior = distributions.Normal(mean, torch.exp(log_variance / 2))
    kl = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0)).mean(dim=0)
    np.testing.assert_allclose(found["kl"], kl.numpy(), rtol=1e-3, atol=1e-4)
    std = (torch.exp(log_variance / 2) / model.latent_std).mean(dim=0)
    np.testing.assert_allclose(found["posterior_std"], std.numpy(), rtol=1e-4)
    np.testing.assert_allclose(found["reconstructions"], rebuilt[first], atol=1e-5)
    error = ((rebuilt - images[:, 0].numpy()) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(found["error"], error, rtol=1e-3, atol=1e-6)

    # from each reconstruction to the next, and from the last to the first
    np.testing.assert_allclose(found["interpolations"][:, 0], rebuilt[first], atol=1e-5)
    after = rebuilt[[*first[1:], first[0]]]
    np.testing.assert_allclose(found["interpolations"][:, -1], after, atol=1e-5)

    # the numbers that say most, the first image's latent with one of them moved
    assert (
        found["traversed"].tolist() == np.argsort(-kl.numpy().ravel(), kind="stable")[:k].tolist()
    )
    z = ((mean - model.latent_mean) / model.latent_std)[first[0]].flatten()
    for row, number in zip(found["traversals"], found["traversed"], strict=True):
        for step in (0, STEPS // 2, STEPS - 1):
            moved = z.clone()
            moved[number] = TRAVERSAL * (2 * step / (STEPS - 1) - 1)
            picture = model.data.to_unit(model.decode(moved.view(1, *model.shape)))[0, 0]
            np.testing.assert_allclose(row[step], picture.numpy(), atol=1e-5)


def test_a_class_without_held_out_images(trained: Trained, splits: DataSplits) -> None:
    chosen = splits.val.labels != 1
    model = trained_vae(trained)
    found = model.inspect(splits.val.unit()[chosen], splits.val.labels[chosen])
    assert len(found["originals"]) == len(found["interpolations"]) == 2


def test_reconstructions_are_the_decoded_means(trained: Trained, splits: DataSplits) -> None:
    """Without noise: the same every time, whatever the generators."""
    model, images = trained_vae(trained), splits.val.unit()
    with torch.no_grad():
        mean, _ = model.encoder(model.pad(images))
        expected = model.crop(model.decoder(mean)).clamp(0, 1)
    for _ in range(2):
        torch.testing.assert_close(model.reconstruct(images), expected, atol=1e-5, rtol=1e-5)


def test_preview_is_a_reconstruction(trained: Trained, splits: DataSplits) -> None:
    model = trained_vae(trained)
    batch = model.prepare(splits.info.standardize(splits.val.unit()[:4]))
    found = splits.info.to_unit(model.preview(batch, splits.val.labels[:4], seed=0))[:, 0]
    shown = model.inspect(splits.val.unit()[:4], torch.arange(4))
    np.testing.assert_allclose(found.numpy(), shown["reconstructions"], atol=1e-5)


@pytest.mark.parametrize(("channels", "rows"), [(1, 1), (2, 2), (3, 1), (4, 2), (8, 2)])
def test_a_latent_as_a_picture(channels: int, rows: int) -> None:
    """Its channels side by side, in two rows if they are even."""
    z = torch.rand(2, channels, 3, 4)
    found = sheet(z)
    columns = channels // rows
    assert found.shape == (2, 1, 3 * rows, 4 * columns)
    for c in range(channels):
        row, column = divmod(c, columns)
        tile = found[:, 0, 3 * row : 3 * row + 3, 4 * column : 4 * column + 4]
        torch.testing.assert_close(tile, z[:, c], rtol=0, atol=0)
