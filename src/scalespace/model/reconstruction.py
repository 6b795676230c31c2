"""Images through a model's autoencoder and back: what its latents can hold of them."""

from __future__ import annotations

from typing import Any

from scalespace.data import Samples, check
from scalespace.data.pixels import pictures, planes
from scalespace.errors import InputError
from scalespace.model.model import Model
from scalespace.stages.base import StageModel


def autoencoder(model: Model) -> tuple[str, StageModel]:
    """The autoencoder of a model's method, and its stage's name; `InputError` if it has none."""
    for name, stage in model.models.items():
        if stage.can("reconstruct"):
            return name, stage
    raise InputError(f"method '{model.method.name}' has no autoencoder to reconstruct with")


def reconstruct(model: Model, samples: Samples) -> Samples:
    """Images through the method's autoencoder and back.

    Args:
        model: one with an autoencoder.
        samples: of the size of the model's data; their labels are kept.

    Raises:
        InputError: the method has no autoencoder, or the images are of another size.
    """
    name, through = autoencoder(model)
    samples = check(samples.images, samples.labels, samples.meta, shape=model.data.shape)
    unit = planes(samples.images).to(model.device)
    images = pictures(through.reconstruct(unit))
    meta: dict[str, Any] = {"method": f"{name}-reconstruction", "model": model.hash}
    meta |= {"data": model.data.name, "of": samples.meta}
    return Samples(images, samples.labels, meta)
