"""What other learners than the paper's classifier learn from generated images.

    python benchmarks/learners.py samples.npz --data-dir DIR [--images 10000] [--sets 3]

CAS trains one kind of network. Where generated images teach that kind nearly as much as real ones,
learners of other kinds tell whether they teach: the 3 nearest neighbours, a linear model, and a
network without convolutions. Each learns from disjoint sets of the samples, equally many of each
class, and from as many of real training images, with the same starts and orders, and is examined on
the test images. The samples file must have images enough for all sets.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalespace import DataSplits, InputError, load_data, read_samples

Learner = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Images [n, d] and labels [n] to learn from, images [m, d] to label, a seed -> labels [m]."""
ROWS = 1000  # of distances at a time


def nearest(x: Tensor, y: Tensor, asked: Tensor, seed: int) -> Tensor:
    """The label that most of the 3 nearest images have (the least one, of three that differ)."""
    parts = [torch.cdist(part, x).topk(3, largest=False).indices for part in asked.split(ROWS)]
    return y[torch.cat(parts)].mode(dim=1).values


def trained(make: Callable[[int, int], nn.Module], epochs: int) -> Learner:
    """A network, trained by Adam on batches of 128."""

    def learner(x: Tensor, y: Tensor, asked: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        net = make(x.shape[1], int(y.max()) + 1)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(128):
                optimizer.zero_grad()
                F.cross_entropy(net(x[rows]), y[rows]).backward()
                optimizer.step()
        with torch.inference_mode():
            return net.eval()(asked).argmax(dim=1)

    return learner


def dense(features: int, classes: int) -> nn.Module:
    """Two hidden layers of 256, and a little dropout."""
    return nn.Sequential(
        nn.Linear(features, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, classes),
    )  # fmt: skip


LEARNERS: dict[str, Learner] = {
    "3 nearest neighbours": nearest,
    "linear": trained(nn.Linear, epochs=15),
    "two dense layers": trained(dense, epochs=20),
}


def disjoint(labels: Tensor, images: int, sets: int, seed: int) -> list[Tensor]:
    """Indices of `sets` sets of `images` with equally many of each class, none in two.

    Raises:
        InputError: some class has too few.
    """
    rng = torch.Generator().manual_seed(seed)
    classes = labels.unique().tolist()
    each = images // len(classes)
    parts: list[list[Tensor]] = [[] for _ in range(sets)]
    for label in classes:
        rows = (labels == label).nonzero()[:, 0]
        if len(rows) < each * sets:
            raise InputError(f"{each * sets} images of each class are needed, not {len(rows)}")
        rows = rows[torch.randperm(len(rows), generator=rng)]
        for k, part in enumerate(parts):
            part.append(rows[k * each : (k + 1) * each])
    return [torch.cat(part) for part in parts]


def score(
    x: Tensor, y: Tensor, splits: DataSplits, images: int, sets: int
) -> dict[str, list[float]]:
    """The accuracies of each learner, one for each set."""
    test = splits.test()
    asked, truth = test.unit().flatten(1), test.labels
    found: dict[str, list[float]] = {name: [] for name in LEARNERS}
    for k, rows in enumerate(disjoint(y, images, sets, seed=0)):
        for name, learner in LEARNERS.items():
            answers = learner(x[rows], y[rows], asked, k)
            found[name].append(float((answers == truth).float().mean()))
    return found


def main() -> None:
    """Scores both kinds of sets and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--sets", type=int, default=3)
    options = parser.parse_args()
    splits = load_data(options.data, options.data_dir)
    made = read_samples(options.samples)
    x = torch.from_numpy(made.images).flatten(1)
    y = torch.from_numpy(made.labels)
    generated = score(x, y, splits, options.images, options.sets)
    train = splits.train
    real = score(train.unit().flatten(1), train.labels, splits, options.images, options.sets)
    print(f"accuracy on real test images, mean ± sd over {options.sets} sets of {options.images:,}")
    print("| learner | real | generated | difference |\n| --- | ---: | ---: | ---: |")
    for name in LEARNERS:
        differences = [g - r for g, r in zip(generated[name], real[name], strict=True)]
        cells = [_told(one) for one in (real[name], generated[name], differences)]
        print(f"| {name} | {' | '.join(cells)} |")


def _told(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}".replace("-", "−")


if __name__ == "__main__":
    main()
