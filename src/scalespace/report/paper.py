"""The numbers that the seed documents publish, and which studies show them."""

from __future__ import annotations

from scalespace.evaluation.controls import FLOOR
from scalespace.report.about import Study

CAS = {
    "real": (0.9764, 0.0043),
    "baseline": (0.7300, 0.0401),
    "small": (0.8188, 0.0323),
    "cascaded": (0.5997, 0.0477),
}
"""Table 1 of the paper: mean and deviation over five classifiers."""
LATENCY_MS = {"baseline": 60.7, "small": 41.2, "cascaded": 67.1}
"""The same table: one image, on a T4."""
MACS = {"baseline": 478.6, "small": 73.5, "cascaded": 223.1}
"""Million multiply-adds a sample of the networks in the paper's text, by `scalespace bench`."""
FIGURES = {"baseline": 8, "small": 9, "cascaded": 10}
"""The paper's figure that shows the samples of a method."""

SERIES_FLOOR = 0.30
SERIES_FD = {
    FLOOR: (SERIES_FLOOR, "0.30"),
    "latent": (6.02, "6.02"),
    "latent-flow": (3.0, "about 3"),
    "pixel-noise": (48.43, "48.43"),
    "vae": (63.49, "63.49"),
}
"""FD in the author's series of articles, on MNIST: the number, and as it is printed there."""

DATA = "mnist"
EMBEDDED_DATA = "digits"  # a subset of MNIST: the paper's numbers are for orientation only


def shown(study: Study) -> bool:
    """Whether a study shows them: they are for its data."""
    return study.data.name in (DATA, EMBEDDED_DATA) and not study.data.own
