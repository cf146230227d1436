"""Settings of the documentation site: python -m sphinx -W --keep-going -c docs . work_dirs/site.

The source folder is the repository: the READMEs of its folders are pages, where they are.
"""

import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cmac_mm  # noqa: E402

project = "cmac_mm"
author = copyright = "The CMAC-MM contributors"
release = cmac_mm.__version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "configs/**README.md",
    "tools/**README.md",
    "benchmarks/README.md",
    "cmac_mm/zoo/cmac-demo.md",
]
exclude_patterns = ["cmac_mm/.mim", "tests", ".*", "work_dirs", "data", "build", "dist"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
# Links to anything but pages are to files of the repository: they are copied into the site.

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give types
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "cmac_mm"
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write an equation inside a line as MathML, which needs neither script nor network."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation of its own as MathML."""
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Add the renderer of equations."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
