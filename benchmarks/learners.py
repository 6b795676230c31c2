"""What other learners than the paper's classifier learn from generated images.

    python benchmarks/learners.py samples.npz --data-dir DIR [--images 10000] [--sets 3]
    python benchmarks/learners.py seed0.npz seed1.npz seed2.npz --data-dir DIR --classifiers 3

CAS trains one kind of network. Where generated images teach that kind nearly as much as real ones,
learners of other kinds tell whether they teach: the 3 nearest neighbours, a linear model, and a
network without convolutions. Each learns from disjoint sets of the samples, equally many of each
class, and from as many of real training images, with the same starts and orders, and is examined on
the test images. One samples file must have images enough for all sets; several are a set each.

A second table tells how near, in pixels, a test image's nearest neighbour of its own class is, and
that of any other class: whether what it needs is missing, or what confuses is there.

`--classifiers` adds the paper's classifier, trained that often on each set. CAS compares with one
set of real images; here each set of generated ones has a set of its own to be compared with.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from scalespace import CASConfig, DataSplits, InputError, Samples, load_data, read_samples
from scalespace.evaluation.cas import cas

Learner = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Images [n, d] and labels [n] to learn from, images [m, d] to label, a seed -> labels [m]."""
Sets = Sequence[tuple[Tensor, Tensor]]
"""Images [n, h, w] and labels [n] of each set."""
ROWS = 1000  # of distances at a time


def nearest(x: Tensor, y: Tensor, asked: Tensor, seed: int) -> Tensor:
    """The label that most of the 3 nearest images have (the least one, of three that differ)."""
    parts = [torch.cdist(part, x).topk(3, largest=False).indices for part in asked.split(ROWS)]
    return y[torch.cat(parts)].mode(dim=1).values


def distances(x: Tensor, y: Tensor, asked: Tensor, truth: Tensor) -> tuple[float, float]:
    """Mean distance of the images asked about from the nearest of their class, and of another."""
    own, other = [], []
    for part, labels in zip(asked.split(ROWS), truth.split(ROWS), strict=True):
        away, same = torch.cdist(part, x), labels[:, None] == y
        own.append(away.masked_fill(~same, torch.inf).amin(dim=1))
        other.append(away.masked_fill(same, torch.inf).amin(dim=1))
    return float(torch.cat(own).mean()), float(torch.cat(other).mean())


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


def parted(x: Tensor, y: Tensor, images: int, sets: int) -> Sets:
    """Disjoint sets of some images."""
    return [(x[rows], y[rows]) for rows in disjoint(y, images, sets, seed=0)]


def generated(files: Sequence[Samples], images: int, sets: int) -> Sets:
    """The sets of one samples file, or one of each of several."""
    each = sets if len(files) == 1 else 1
    return [
        own
        for file in files
        for own in parted(
            torch.from_numpy(file.images), torch.from_numpy(file.labels), images, each
        )
    ]


def score(sets: Sets, splits: DataSplits, classifiers: int) -> dict[str, list[float]]:
    """The accuracies of each learner: one for each set or, of the paper's classifier, for each."""
    test, about = splits.test(), splits.info
    asked, truth = test.unit().flatten(1), test.labels
    found: dict[str, list[float]] = {name: [] for name in LEARNERS}
    for k, (x, y) in enumerate(sets):
        for name, learner in LEARNERS.items():
            answers = learner(x.flatten(1), y, asked, k)
            found[name].append(float((answers == truth).float().mean()))
        if classifiers:
            config = CASConfig(classifiers=classifiers)
            own = cas(x.numpy(), y.numpy(), test, about.mean, about.std, config, seed=k)
            found.setdefault("the paper's classifier", []).extend(own.accuracy.tolist())
    return found


def main() -> None:
    """Scores both kinds of sets and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", nargs="+")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--sets", type=int, default=3, help="of a single samples file")
    parser.add_argument("--classifiers", type=int, default=0)
    options = parser.parse_args()
    splits = load_data(options.data, options.data_dir)
    made = generated([read_samples(one) for one in options.samples], options.images, options.sets)
    train = splits.train
    real = parted(train.unit()[:, 0], train.labels, options.images, len(made))
    of_real, of_made = (score(sets, splits, options.classifiers) for sets in (real, made))
    print(
        f"accuracy on real test images, mean ± sd over {len(made)} sets of {options.images:,}"
        + (f", {options.classifiers} classifiers each" if options.classifiers else "")
    )
    print("| learner | real | generated | difference | p |\n| --- | ---: | ---: | ---: | ---: |")
    for name, own in of_made.items():
        differences = [g - r for g, r in zip(own, of_real[name], strict=True)]
        cells = [_told(one) for one in (of_real[name], own, differences)]
        p = f"{stats.ttest_1samp(differences, 0).pvalue:.1g}" if len(differences) > 1 else "–"
        print(f"| {name} | {' | '.join(cells)} | {p} |")
    test = splits.test()
    asked, truth = test.unit().flatten(1), test.labels
    print("\ndistance of a test image, a pixel's range being 1, from the nearest image of")
    print("| | its own class | another class |\n| --- | ---: | ---: |")
    for name, kind in (("real", real), ("generated", made)):
        found = [distances(x.flatten(1), y, asked, truth) for x, y in kind]
        own_class, another = zip(*found, strict=True)
        print(f"| {name} | {_told([*own_class])} | {_told([*another])} |")


def _told(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}".replace("-", "−")


if __name__ == "__main__":
    main()
