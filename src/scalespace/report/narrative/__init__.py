"""What a study found, in sentences: about its methods, or about its variants."""

from scalespace.report.narrative.of_methods import OfMethods
from scalespace.report.narrative.of_variants import OfVariants
from scalespace.report.narrative.warnings import warnings
from scalespace.report.results import Results

__all__ = ["OfMethods", "OfVariants", "narrative", "warnings"]


def narrative(results: Results) -> OfMethods | OfVariants:
    """The sentences that head a study's report: both have a `headline` and `remarks`."""
    return OfVariants(results) if results.study.compares else OfMethods(results)
