"""The mean of all training images that an x_t may have been made of.

Algorithm 1 aims at the one image x_0 that x_t was made from. Where x_t is nearly noise, any other
image of the class might have made it as well: a network can only learn their mean, E[x_0 | x_t],
and the rest of the target is noise in every gradient. Over a finite training set the mean has a
closed form. Aiming at it keeps the expected gradient and lowers its variance (Rao and Blackwell).
Xu et al. 2023, "Stable target field", average over some hundreds of images at a time; a class of
MNIST is small enough to take whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scalespace.core.denoiser import ANY


class TrainingMean:
    """E[x_0 | x_t, label] where x_0 is one of the training images, each equally likely.

    The weight of an image x_0 is exp(-|x_t - a x_0|^2 / 2 b^2) over its sum for all images of the
    class. A call costs two matrix products of the batch with all images of its classes.

    Args:
        x0: the training images [n, ...].
        labels: int64 [n], at least 0; None where there are no classes.
    """

    def __init__(self, x0: Tensor, labels: Tensor | None = None) -> None:
        self._rows = {ANY: slice(None)}
        if labels is not None:
            order = labels.argsort(stable=True)
            x0 = x0[order]
            found, counts = labels.unique(return_counts=True)
            ends = counts.cumsum(0).tolist()
            for label, end, count in zip(found.tolist(), ends, counts.tolist(), strict=True):
                self._rows[label] = slice(end - count, end)
        self._images = x0.flatten(1)
        self._energy = self._images.square().sum(dim=1) / 2

    def __call__(self, x_t: Tensor, a: Tensor, b: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean image [n, ...] for each x_t = a x_0 + b eps.

        Args:
            x_t: [n, ...].
            a, b: sqrt(alpha_bar) and sqrt(1 - alpha_bar) > 0, each [n, 1, ...].
            labels: int64 [n]; `ANY` stands for any class, as None does for all of them.

        Raises:
            KeyError: no training image has that label.
        """
        if labels is None:
            labels = torch.full((len(x_t),), ANY, device=x_t.device)
        x, a, b = x_t.flatten(1), a.flatten(1), b.flatten(1)
        mean = torch.empty_like(x)
        # the exponents reach thousands: half precision would round them to whole numbers
        with torch.autocast(x.device.type, enabled=False):
            for label in labels.unique().tolist():
                some = (labels == label).nonzero()[:, 0]
                rows = self._rows[label]
                images, energy = self._images[rows], self._energy[rows]
                # -|x_t - a x_0|^2 / 2 b^2, without the terms that all images share
                signal = a[some]
                exponent = torch.addmm(-signal * energy, x[some], images.T)
                exponent *= signal / b[some].square()
                mean[some] = exponent.softmax(dim=1) @ images
        return mean.view_as(x_t)
