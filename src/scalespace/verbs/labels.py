"""What `scalespace sample` is asked for: the labels of its images, and images to start from."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jsonargparse import Namespace

from scalespace import options as opt
from scalespace.data import Samples
from scalespace.data.exchange import read_any
from scalespace.errors import InputError, plural
from scalespace.model import Model
from scalespace.verbs.common import note

MOST = 1_000_000
"""The most images in one file: 3 GB at MNIST's size."""


def read_source(options: Namespace, model: Model) -> Samples | None:
    """The images to start from, if any."""
    if (path := options.redraw or options.fill) is None:
        return None
    source, assumed = read_any(path, model.data.classes, model.data.channels > 1)
    for sentence in assumed:
        note(sentence)
    return source


def find_labels(options: Namespace, model: Model, source: Samples | None) -> list[int]:
    """The label of each image to make, by --labels or --per-class, or those of the source.

    Raises:
        InputError: they are not understood, too many, or not one for each image of the source.
    """
    if options.labels is not None:
        labels = read_labels(options.labels, model.data.classes)
        if source is not None and len(labels) == 1:
            labels *= len(source)
    elif options.per_class is None:
        assert source is not None
        if model.conditional and not source.conditional:
            raise InputError(
                f"the images in {options.redraw or options.fill} are of no class: say with "
                "--labels which ones to make, one for each or one for all"
            )
        labels = source.labels.tolist()
    elif options.per_class < 1:
        raise InputError(f"--per-class must be at least 1, got {options.per_class}")
    elif (count := options.per_class * len(model.data.labels)) > MOST:
        raise InputError(
            f"--per-class {options.per_class} makes {count} images, and a file holds {MOST:,} at "
            "most: make several, each with a --seed of its own"
        )
    else:
        labels = [label for _ in range(options.per_class) for label in model.data.labels]
    if source is not None and len(labels) != len(source):
        raise InputError(
            f"{options.redraw or options.fill} has {plural(len(source), 'image')}, and "
            f"{plural(len(labels), 'label')} came with --labels or --per-class: give one for each, "
            "or one for all"
        )
    return labels


def read_labels(text: str, classes: Sequence[str]) -> list[int]:
    """'3,1' or 'star,moon' as labels; a number is a label, also where a class is called so."""
    places = {name: str(label) for label, name in enumerate(classes)}
    words = [word.strip() for word in text.split(",")]
    if strange := [word for word in words if word not in places and re.search("[^0-9+-]", word)]:
        raise InputError(
            f"--labels takes whole numbers or names of the model's classes "
            f"({', '.join(classes)}): got '{strange[0]}'"
        )
    named = (word if word.isdecimal() else places.get(word, word) for word in words)
    return opt.numbers(",".join(named), "--labels")
