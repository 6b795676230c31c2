"""The figures of a study, by name: each a function from its results to pictures.

The report shows them all; `scalespace plot` writes one of them to a file. A figure for which a
study holds nothing yet has no pictures. Those of a judge and of an autoencoder are functions of a
view, which may also come from a judge's or a model's own folder.
"""

from scalespace.report.figures.common import color
from scalespace.report.figures.named import FIGURES, pictures_of

__all__ = ["FIGURES", "color", "pictures_of"]
