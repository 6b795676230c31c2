"""Engines: what carries out a network's calls while a model samples.

`torch` is the reference, and readable. The others run the same network faster and give the same
images to 1e-4; `scalespace bench` tells by how much.
"""

from scalespace.engine.base import Call, Engine, Torch
from scalespace.engine.registry import ENGINES, find_engine

__all__ = ["ENGINES", "Call", "Engine", "Torch", "find_engine"]
