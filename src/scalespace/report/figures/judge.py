"""The judge from inside: what its layers show, and how normal its features are.

Fréchet distances compare features and assume them to be normal: these figures show both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scalespace.figures.charts import Line, curves
from scalespace.figures.lettering import shortened
from scalespace.figures.panels import Histogram, histograms
from scalespace.figures.picture import Color, Picture
from scalespace.figures.sheets import Block, sheet
from scalespace.report.figures.common import margin, zoom
from scalespace.report.inside import KINDS, JudgeView
from scalespace.report.words import plural

FEATURES = 16  # whose histograms are shown
CRITICAL = 0.886  # over sqrt(n): 5 % of normal samples are further than this from their fit
COLORS = {"pooled": 0, "linear": 1}
SHADES: tuple[Color, Color] = ("muted", 0)  # of training and of what is held out
HALF = (5.5, 3.6)


def activations(view: JudgeView) -> list[Picture]:
    """Mean activation of each channel within each class, after each of its pooling layers."""
    pictures, names = [], [shortened(name) for name in view.classes]
    for layer in (1, 2, 3):
        maps = view.arrays[f"activations_{layer}"]
        classes, channels, height, width = maps.shape
        top = maps.max(axis=(0, 2, 3), keepdims=True)
        dead = int((top <= 0).sum())
        block = Block(
            (np.clip(maps, 0, None) / np.where(top > 0, top, 1)).reshape(-1, height, width),
            channels,
            zoom(height, 48 if channels <= 16 else 24),
            top=[str(k) for k in range(channels)],
            left=names,
        )
        silent = f" {dead} of them {'is' if dead == 1 else 'are'} always 0." if dead else ""
        pictures.append(
            Picture(
                f"judge-activations-{layer}",
                f"After pooling layer {layer}",
                f"{channels} channels of {height}×{width} (columns), each the mean over the "
                f"{view.part} images of a class (rows), {view.n:,} in all. White is the channel's "
                f"largest value, black 0.{silent}",
                f"Mean activations of {channels} channels for each of {classes} classes.",
                sheet([block], margin(names)),
            )
        )
    return pictures


def features(view: JudgeView) -> list[Picture]:
    """Histograms of the first features before the non-linearity, with their normal fits."""
    a = view.arrays
    total = len(a["linear_mean"])
    parts = [
        Histogram(
            f"{k}: KS {a['linear_ks'][k]:.3f}" if np.isfinite(a["linear_ks"][k]) else f"{k}",
            a["linear_counts"][k],
            a["linear_edges"][k],
            float(a["linear_mean"][k]),
            # a feature that never changes has no normal fit
            float(a["linear_std"][k]) if np.isfinite(a["linear_ks"][k]) else 0.0,
        )
        for k in range(min(FEATURES, total))
    ]
    return [
        Picture(
            "judge-features",
            "Features and their normal fits",
            f"The first {len(parts)} of {total} features before the ReLU, of {view.n:,} "
            f"{view.part} images. The curve is the normal distribution with the feature's mean and "
            f"deviation; KS is the largest gap between the two distribution functions (0: none).",
            f"Histograms of {len(parts)} features with normal curves over them.",
            histograms(parts, 8, (11.3, 3.6)),
        )
    ]


def normality(view: JudgeView) -> list[Picture]:
    """How far all features of both kinds are from normal."""
    a, n = view.arrays, view.n
    sorted_ks = {kind: np.sort(a[f"{kind}_ks"][np.isfinite(a[f"{kind}_ks"])]) for kind in KINDS}
    medians = {kind: float(np.median(ks)) for kind, ks in sorted_ks.items() if len(ks)}
    if not medians:
        return []
    width = max(len(ks) for ks in sorted_ks.values())
    lines = [
        Line(np.arange(1, len(ks) + 1), ks[::-1], COLORS[kind], KINDS[kind], width=1.8)
        for kind, ks in sorted_ks.items()
        if len(ks)
    ]
    limit = CRITICAL / np.sqrt(n)
    lines.append(Line([1, width], [limit, limit], "muted", "5% of normal ones", "--", 1.2))
    words = " and ".join(f"{value:.3f} {KINDS[kind]}" for kind, value in medians.items())
    dead = [len(a[f"{kind}_ks"]) - len(ks) for kind, ks in sorted_ks.items()]
    constant = f" Left out: {max(dead)} that never change." if max(dead) else ""
    return [
        Picture(
            "judge-ks",
            "Distance of each feature from its normal fit",
            f"Kolmogorov-Smirnov distance of each of {width} features, largest first, on {n:,} "
            f"{view.part} images; median {words}. Of normal features, 5% would lie above the "
            f"dashed line ({limit:.3f}).{constant} {view.unseen}",
            f"Sorted Kolmogorov-Smirnov distances; median {words}.",
            curves(lines, "rank", "KS distance", HALF, whole=True, ylim=(0, None)),
        ),
    ]


def judge_training(view: JudgeView) -> list[Picture]:
    """Training and test loss by epoch."""
    at = view.arrays["history_epoch"]
    if not np.size(at):
        return []
    losses = {"training": view.arrays["history_loss"], "test": view.arrays["history_val_loss"]}
    lines = []
    for (name, loss), shade, width in zip(losses.items(), SHADES, (1.1, 1.6), strict=True):
        known = np.isfinite(loss)
        if known.any():
            lines.append(Line(at[known], loss[known], shade, name, width=width))
    words = plural(int(at[-1]), "epoch")
    ends = ", ".join(f"{name} {loss[-1]:.4f}" for name, loss in losses.items())
    reads = f" At the end it reads {view.reads} images." if view.reads else ""
    return [
        Picture(
            "judge-training",
            "Training of the judge",
            f"Cross-entropy over {words} on {view.trained_on}. Training uses dropout and the test "
            f"does not, so the test loss may be lower.{reads}",
            f"Training and test loss of the judge against the epoch; at the end {ends}.",
            curves(lines, "epoch", "loss", (5.5, 3.2), log=True, whole=True),
        )
    ]


JUDGE_FIGURES: dict[str, Callable[[JudgeView], list[Picture]]] = {
    "judge-activations": activations,
    "judge-features": features,
    "judge-normality": normality,
    "judge-training": judge_training,
}
"""The figures of a judge by name."""
