"""Formulas as MathML, made at build time: who reads the page needs no script and no network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)
CONVERTER = LatexToMathML(annotation=True)


def mathml(node: nodes.Element, block: bool) -> str:
    """The formula of a math node; one that cannot be read is a warning that names its place."""
    latex = node.astext().strip()
    try:
        return CONVERTER.convert_with_local_state(latex, displaystyle=block)
    except LatexError as error:
        logger.warning("the formula %r: %s", latex, error, location=node, type="math")
        raise nodes.SkipNode from error


def inline(translator: HTML5Translator, node: nodes.Element) -> None:
    translator.body.append(mathml(node, block=False))
    raise nodes.SkipNode


def displayed(translator: HTML5Translator, node: nodes.Element) -> None:
    if node.get("number"):
        raise ExtensionError("formulas are not numbered here")
    translator.body.append(f'<div class="formula">{mathml(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
