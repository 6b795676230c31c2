"""A trained method: what `scalespace train` makes and every other command samples with."""

from scalespace.model.model import Model
from scalespace.model.reconstruction import reconstruct
from scalespace.model.trained import train

__all__ = ["Model", "reconstruct", "train"]
