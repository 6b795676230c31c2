"""The tables and sentences of a study as Markdown, for papers and pull requests."""

from __future__ import annotations

from scalespace.report.narrative import OfMethods, OfVariants, warnings
from scalespace.report.results import Results
from scalespace.report.tables import methods_table, quality_table, variant_tables


def markdown(results: Results) -> str:
    """The whole of `table.md`."""
    study, lines = results.study, []
    if study.compares:
        variants = OfVariants(results)
        lines += [f"**{variants.headline}** {variants.lead}".rstrip(), ""]
        lines += [*(f"- {one}" for one in variants.remarks), ""]
        for method in study.methods:
            for table in variant_tables(results, method):
                lines += [*table.markdown(), ""]
        lines += [f"The rest is about the variant “{results.variant}”.", ""]
    methods, quality = OfMethods(results), quality_table(results)
    lines += [f"**{methods.headline}** {methods.lead}".rstrip(), ""]
    for told in methods.by_others:
        if told != methods.headline:
            lines += [told, ""]
    seeds = ", ".join(map(str, study.seeds))
    preset = f", preset `{study.preset}`" if study.preset else ""  # one may be given no name
    lines += [f"Data `{study.data.title}`{preset}, training seeds {seeds}.", ""]
    lines += methods_table(results).markdown()
    if quality:
        lines += ["", *quality.markdown()]
    lines += [f"- **Note.** {warning}" for warning in warnings(results)]
    if results.missing:
        lines.append(f"- **Not finished.** Missing: {'; '.join(results.missing)}.")
    return "\n".join(lines) + "\n"
