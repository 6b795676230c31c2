"""Reads what the page's server answers, as a browser does."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
from PIL import Image

Events = list[tuple[str, dict[str, Any]]]


def parsed(text: str) -> Events:
    """Events as a browser reads them."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in blocks
    ]


def pixels(url: str) -> np.ndarray:
    """A data URL as grey values [h, w]."""
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(data))))


def finished(events: Events, run: int = 0) -> np.ndarray:
    """The images of a run's last step, grey values [n, h, w]."""
    steps = [values for name, values in events if name == "step" and values["run"] == run]
    return np.stack([pixels(url) for url in steps[-1]["images"]])


def grey(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as grey values."""
    return np.rint(images * 255).astype(np.uint8)
