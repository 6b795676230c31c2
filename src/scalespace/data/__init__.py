"""Data: image sets by name, the splits that experiments use, and the samples file."""

from scalespace.data.idx import read_idx, write_idx
from scalespace.data.images import (
    DataSplits,
    ImageSet,
    balanced_sample,
    first_of_each,
    load,
    load_told,
    places_of_first,
)
from scalespace.data.samples import Samples, check, read_samples, write_samples

__all__ = [
    "DataSplits",
    "ImageSet",
    "Samples",
    "balanced_sample",
    "check",
    "first_of_each",
    "load",
    "load_told",
    "places_of_first",
    "read_idx",
    "read_samples",
    "write_idx",
    "write_samples",
]
