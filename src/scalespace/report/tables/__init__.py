"""The tables of a report."""

from scalespace.report.tables.base import Table
from scalespace.report.tables.methods import methods_table
from scalespace.report.tables.quality import quality_table
from scalespace.report.tables.variants import variant_tables

__all__ = ["Table", "methods_table", "quality_table", "variant_tables"]
