"""Train on images of your own: here bars, lying and standing, written in MNIST's format.

    python examples/your_own_data.py

Writes bars/ (the data), bars-trainings/ (what was trained) and bars.png (new bars).
"""

import numpy as np

import scalespace as sc
from scalespace.data import write_idx


def bars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 16, 16] of a bar each, and labels: 0 where it lies, 1 where it stands."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 16, 16), dtype=np.uint8)
    labels = rng.integers(0, 2, n).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        place, width = rng.integers(2, 12), rng.integers(2, 4)
        along = image.T if label else image
        along[place : place + width, 2:14] = rng.integers(180, 256)
    return images, labels


for part, n in {"train": 1200, "t10k": 200}.items():
    images, labels = bars(n, seed=len(part))
    write_idx(f"bars/{part}-images-idx3-ubyte", images)
    write_idx(f"bars/{part}-labels-idx1-ubyte", labels)

data = sc.load_data("mnist", "bars")  # the format's name; that the files are yours is seen
print(f"{data.info.title}: {len(data.train)} images of {data.train.shape} to train on")

# any field of a recipe can be set; a run that is stopped goes on where it was
config = sc.load_config("quick", {"train.epochs": 6, "net.channels": [8, 16], "net.groups": 4})
model = sc.train("baseline", data, config, "bars-trainings", runtime=sc.Runtime(device="cpu"))
samples = model.sample([0, 1] * 8, seed=0)
sc.save_grid("bars.png", samples.images, columns=8)
print(sc.evaluate(samples, data, ["copies"]))
