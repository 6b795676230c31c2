"""What a study's benchmark measures, as its rows name it."""

from __future__ import annotations

COSTS = {
    "mean": "latency_mean",
    "median": "latency_median",
    "q1": "latency_q1",
    "q3": "latency_q3",
    "macs": "macs",
    "calls": "calls",
    "parameters": "parameters",
}
"""Which field of a benchmark becomes which metric."""
RATE = "images_per_s"
"""The metric of many images at a time, with the batch size that was fastest."""
COST_METRICS = (*COSTS.values(), RATE)
"""The metrics of all rows of a benchmark."""
