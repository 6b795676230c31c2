"""How much of the data's variety few steps keep: exactly, for data that are normally distributed.

For x_0 ~ N(mu, Sigma) the best denoiser is linear, and along each principal component of Sigma the
whole sampler is a chain of numbers. What it makes has another variance than the data although no
network is involved and none could do better: that is the discretisation's own error.
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

    The sampler is driven by E[x_0 | x_t] = a v / (a^2 v + b^2) x_t (a^2 = alpha_bar_t, b^2 =
    1 - a^2, the mean taken off), which is what a perfect network would answer. A step is then a
    linear map of x_t and of the estimate before, and adds noise: the covariance of the two goes
    from step to step in closed form, and nothing is random in the figure.

    Args:
        table: the sampler, of `core/solvers.py`.
        schedule: that it was made for.
        variances: v of each component, positive: float [k].
        temperature: deviation of the noise that sampling starts from.
        start: variance of the first state along each component: float [k]; None where it is that
            noise alone.

    Returns:
        float64 [k]: 1 is all of it, less is too little variety.

    Raises:
        ValueError: a variance that is not positive and finite.
    """
    v = variances.double()
    if not bool(((v > 0) & v.isfinite()).all()):
        raise ValueError("variances must be positive and finite")
    # of x_t, of x_t with the estimate before, and of that estimate
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
