"""A shipped judge's accuracy on the test part of its data, from its weights alone.

Imports nothing of the package: the network is written out as the seed series lists it.

    python tools/check_judge.py FOLDER_OF_MNIST_RAW
    python tools/check_judge.py FOLDER_OF_FASHIONMNIST_RAW fashion-mnist
    python tools/check_judge.py FOLDER_OF_EMNIST_RAW letters-a-l      # where it has these alone
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

JUDGES = Path(__file__).parents[1] / "src/scalespace/evaluation/judges"


def idx(folder: Path, name: str) -> np.ndarray:
    """The bytes of an IDX file behind its header, which has one int32 for each dimension."""
    path, packed = folder / name, folder / f"{name}.gz"
    content = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def main(folder: Path, judge: str = "mnist") -> None:
    letters = judge == "letters-a-l"
    layers = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(8, 16, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(16, 32, 3, padding="same"),
        nn.ReLU(),
        nn.AvgPool2d(4, 4),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(128, 12 if letters else 10),
    )
    model = nn.ModuleDict({"layers": layers})
    model.load_state_dict(load_file(JUDGES / judge / "model.safetensors"))
    model.eval()
    part = "emnist-letters-test" if letters else "t10k"
    images = torch.from_numpy(idx(folder, f"{part}-images-idx3-ubyte").copy())[:, None] / 255
    labels = torch.from_numpy(idx(folder, f"{part}-labels-idx1-ubyte").astype(np.int64))
    if letters:  # EMNIST stores images transposed, and counts letters from 1
        images, labels = images.mT, labels - 1
    with torch.inference_mode():
        answers = layers(nn.functional.pad(images, (2, 2, 2, 2))).argmax(dim=1)
    share = float((answers == labels).double().mean())
    count = sum(p.numel() for p in model.parameters())
    print(f"{count:,} parameters, {share:.2%} of {len(labels):,} test images")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
