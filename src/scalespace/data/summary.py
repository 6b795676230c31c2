"""A data set in a few facts, for people."""

from __future__ import annotations

from typing import Any

from scalespace.data.folders import ImageFolder
from scalespace.data.images import DataSplits
from scalespace.data.origins import Listed
from scalespace.data.sources import is_official

NAMED = 5
"""Of the files that are left out, so many are named."""


def summary(splits: DataSplits) -> dict[str, Any]:
    """Plain values: size of each part, classes, pixels, and where the images come from.

    Also reads the test part, to check it.
    """
    test = splits.test()
    classes = range(len(splits.train.classes))

    def counts(labels: Any) -> list[int]:
        return [int((labels == k).sum()) for k in classes]

    about = {
        "name": splits.name,
        "classes": list(splits.train.classes),
        "size": list(splits.train.shape),
        "colours": "yes" if splits.train.channels > 1 else "no",
        "train": len(splits.train),
        "train per class": counts(splits.train.labels),
        "validation": len(splits.val),
        "validation per class": counts(splits.val.labels),
        "test": len(test),
        "test per class": counts(test.labels),
        "mean": round(splits.mean, 6),
        "std": round(splits.std, 6),
        "fingerprint": splits.info.fingerprint,
    }
    origin = splits.origin
    if isinstance(origin, ImageFolder):
        about["parts"] = "train/ and test/" if origin.parted else "split by a fixed seed"
        about["resampled"] = "no" if origin.size is None else origin.words
        about["left out"] = _listed(origin.left_out)
    elif origin is None or isinstance(origin, Listed):
        verified = is_official(splits.name, splits.data_dir)
        about["official files"] = {True: "yes", False: "no", None: "not known"}[verified]
    else:
        about["parts"] = "split by a fixed seed"
    return about


def _listed(names: list[str]) -> str:
    """How many they are, and the first of them."""
    more = ["..."] if len(names) > NAMED else []
    return f"{len(names)} ({', '.join([*names[:NAMED], *more])})" if names else "nothing"
