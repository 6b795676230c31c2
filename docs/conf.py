"""The site: `make docs` builds it, of the repository's Markdown files as they are.

Its source folder is the repository, so that a link means the same in both.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "scalespace"
author = "the scalespace authors"
html_title = "scalespace"
root_doc = "README"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "mathml",
    "navigation",
    "reference",
]
# the first suffix that fits is taken
source_suffix = {".nb.md": "myst-nb", ".md": "myst-nb", ".rst": "restructuredtext"}
include_patterns = ["*.md", "docs/**"]
exclude_patterns = ["docs/_*"]

# Markdown
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 6
myst_dmath_allow_digits = False
html_math_renderer = "mathml"

# notebooks: run when the site is built, and again only when their code changes
nb_custom_formats = {".nb.md": "notebooks.read"}
nb_execution_mode = "cache"
nb_execution_in_temp = True  # what they write is no page, and none of the repository's
nb_execution_timeout = 1800  # seconds a cell, for a machine that is busy
nb_execution_raise_on_error = True
nb_merge_streams = True

# the reference
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_use_type_comments = False
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
default_role = "name"
add_module_names = False

# how it looks
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# the side bar: a new page of docs/ appears at "docs/*"; a new one elsewhere is an error until named
navigation = {
    "Start": ["docs/guide", "docs/*", "CONTRIBUTING"],
    "Tutorials": [
        "docs/tutorials/the-paper",
        "docs/tutorials/your-own-data",
        "docs/tutorials/add-a-method",
        "docs/tutorials/add-a-network",
        "docs/tutorials/read-a-report",
    ],
    "The answer": ["docs/results", "docs/results/README", "docs/results/*"],
    "How it works": ["docs/mathematics", "docs/choices", "docs/performance"],
    "Reference": [
        "docs/reference/index",
        "docs/reference/made/commands",
        "docs/reference/packages",
    ],
    "History": ["docs/history", "CHANGELOG"],
}
