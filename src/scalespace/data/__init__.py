"""Data: image sets by name, the splits that experiments use, and the samples file."""

from scalespace.data.catalog import DATASETS, Source
from scalespace.data.idx import read_idx, write_idx
from scalespace.data.images import (
    DataSplits,
    ImageSet,
    balanced_sample,
    balanced_split,
    load,
)
from scalespace.data.samples import Samples, check, read_samples, write_samples
from scalespace.data.sources import data_root, fetch, is_official, load_raw

__all__ = [
    "DATASETS",
    "DataSplits",
    "ImageSet",
    "Samples",
    "Source",
    "balanced_sample",
    "balanced_split",
    "check",
    "data_root",
    "fetch",
    "is_official",
    "load",
    "load_raw",
    "read_idx",
    "read_samples",
    "write_idx",
    "write_samples",
]
