"""A data set in a few facts, for people."""

from __future__ import annotations

from typing import Any

from scalespace.data.images import DataSplits
from scalespace.data.sources import is_official


def summary(splits: DataSplits) -> dict[str, Any]:
    """Plain values: size of each part, classes, pixels, and whether the files are official.

    Also reads the test part, to check it.
    """
    test = splits.test()
    verified = is_official(splits.name, splits.data_dir)
    counts = [int((splits.train.labels == k).sum()) for k in range(len(splits.train.classes))]
    return {
        "name": splits.name,
        "classes": list(splits.train.classes),
        "size": list(splits.train.shape),
        "train": len(splits.train),
        "train per class": counts,
        "validation": len(splits.val),
        "test": len(test),
        "mean": round(splits.mean, 6),
        "std": round(splits.std, 6),
        "fingerprint": splits.info.fingerprint,
        "official files": {True: "yes", False: "no", None: "not known"}[verified],
    }
