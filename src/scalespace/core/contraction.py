"""The variance that few steps keep, in closed form for normally distributed data.

For x_0 ~ N(mu, Sigma) the best denoiser is linear, and along each principal component of Sigma the
sampler is a linear recurrence. Its samples differ in variance from the data although the denoiser
is perfect: this is the error of the discretisation alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scalespace.core.schedule import Schedule
from scalespace.core.solvers import Table


def kept_variance(
    table: Table,
    schedule: Schedule,
    variances: Tensor,
    temperature: float = 1.0,
    start: Tensor | None = None,
) -> Tensor:
    """Variance of a sampler's images over that of the data, along principal components.

    The denoiser is that of a perfect network, E[x_0 | x_t] = a v / (a^2 v + b^2) x_t, where
    a^2 = alpha_bar_t, b^2 = 1 - a^2, and the mean is removed. Each step is then a linear map of x_t
    and of the previous estimate, plus noise, so their covariance follows without sampling.

    Args:
        table: the sampler (`core/solvers.py`).
        schedule: the one that the table was made for.
        variances: v of each component, positive: float [k].
        temperature: standard deviation of the initial noise.
        start: variance of the first state along each component: float [k]; None if it is the
            initial noise alone.

    Returns:
        float64 [k]: 1 where all variance is kept, less where some is lost.

    Raises:
        ValueError: a variance that is not positive and finite.
    """
    v = variances.double()
    if not bool(((v > 0) & v.isfinite()).all()):
        raise ValueError("variances must be positive and finite")
    # var(x_t), cov(x_t, previous x0_hat), var(previous x0_hat)
    xx = torch.full_like(v, temperature**2) if start is None else start.double()
    xe, ee = torch.zeros_like(v), torch.zeros_like(v)
    for row, t in zip(table.rows, table.states[:-1], strict=True):
        a, b = schedule.scales(t)
        gain = a * v / (a**2 * v + b**2)
        along = row.x + row.x0 * gain
        xx, xe, ee = (
            along**2 * xx + 2 * along * row.before * xe + row.before**2 * ee + row.std**2,
            gain * (along * xx + row.before * xe),
            gain**2 * xx,
        )
    return xx / v
