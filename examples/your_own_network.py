"""Put a network of your own in the place of the U-Net.

    python examples/your_own_network.py

`net.kind` names a class by its import path; everything else (training, sampling in any number of
calls, scoring) is as before. Writes plain.png.
"""

import torch
from torch import Tensor, nn

import scalespace as sc


class Plain(nn.Module):
    """Five convolutions in a row, told the state and the class at each.

    Its arguments are what `scalespace.nets.registry.Network` says.
    """

    def __init__(
        self, c: object, inputs: int, outputs: int, context: int, size: tuple[int, int]
    ) -> None:
        super().__init__()
        features = 32
        widths = [inputs, *[features] * 3]
        self.layers = nn.ModuleList(nn.Conv2d(n, features, 3, padding=1) for n in widths)
        self.told = nn.ModuleList(nn.Linear(context, features) for _ in widths)
        self.last = nn.Conv2d(features, outputs, 3, padding=1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Images [n, inputs, h, w] and context [n, k] to a prediction [n, outputs, h, w]."""
        for layer, told in zip(self.layers, self.told, strict=True):
            x = torch.nn.functional.silu(layer(x) + told(context)[:, :, None, None])
        return self.last(x)


data = sc.load_data("digits")
changes = {"stages.small.net.kind": f"{__name__}:Plain", "stages.small.train.epochs": 2}
config = sc.load_config("quick", changes)
model = sc.train("small", data, config, "plain-trainings", runtime=sc.Runtime(device="cpu"))
print(model)
sc.save_grid("plain.png", model.sample(list(range(10)) * 2, seed=0, steps=6).images, columns=10)
