"""What things cost: a sample of a model (`benchmark`), and the whole package (`run_suite`)."""

from scalespace.bench.models import benchmark
from scalespace.bench.suite import SECTIONS, Suite, run_suite

__all__ = ["SECTIONS", "Suite", "benchmark", "run_suite"]
