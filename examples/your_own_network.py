"""Put a network of your own in the place of the U-Net.

    python examples/your_own_network.py

A stage builds its network. A stage of your own builds another, and everything else (training,
sampling in any number of calls, scoring) is as before. Writes plain.png.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import scalespace as sc
from scalespace.methods.base import ProcessMethod, register
from scalespace.stages.diffusion import DiffusionStage


class Plain(nn.Module):
    """Five convolutions in a row, told the state and the class at each.

    Args:
        inputs: channels of what it is shown.
        context: width of what it is told: the state over the last, and the class one-hot.
        features: channels in between.
    """

    def __init__(self, inputs: int, context: int, features: int = 32) -> None:
        super().__init__()
        widths = [inputs, *[features] * 4]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, features, 3, padding=1, dilation=1) for before in widths[:4]
        )
        self.told = nn.ModuleList(nn.Linear(context, features) for _ in widths[:4])
        self.last = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Images [n, inputs, h, w] and context [n, k] to a prediction [n, 1, h, w]."""
        for layer, told in zip(self.layers, self.told, strict=True):
            x = torch.nn.functional.silu(layer(x) + told(context)[:, :, None, None])
        return self.last(x)


@dataclass(frozen=True)
class PlainStage(DiffusionStage):
    """A diffusion stage with that network."""

    def build(self, recipe: Any, data: Any, needs: Any = None) -> Any:
        """An untrained model."""
        model = super().build(recipe, data, needs)
        model.net = Plain(inputs=1, context=1 + len(data.classes))
        return model


@register
class PlainSmall(ProcessMethod):
    """Half-size images by five convolutions, enlarged bilinearly."""

    name = "plain-small"
    title = "Plain, small"
    stages = (PlainStage("plain", states=20, scale=2),)


data = sc.load_data("digits")
config = sc.load_config("quick", {"stages.plain.train.epochs": 2})
model = sc.train("plain-small", data, config, "plain-trainings", runtime=sc.Runtime(device="cpu"))
print(model)
sc.save_grid("plain.png", model.sample(list(range(10)) * 2, seed=0, steps=6).images, columns=10)
