"""Sphinx configuration for ``make docs``; builds offline."""

import os
import re
import sys
import tomllib
import warnings
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from tqdm.auto import tqdm

import sptgnn_sklearn
from sptgnn_sklearn.model_selection import comparison

# Small tables are not faster with more threads, and other jobs may run at the same time.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# Sphinx cannot cache functions as settings: sphinx-gallery imports these by name.
sys.path.insert(0, str(Path(__file__).parent))

from markdown_to_rst import to_rst
from version_table import version_table

# From first steps to special topics; other examples follow in alphabetical order.
READING_ORDER = [
    "plot_tutorial",
    "plot_quickstart",
    "plot_meuse",
    "plot_read_table",
    "plot_random_vs_spatial_folds",
    "plot_score_errors",
    "plot_folds",
    "plot_forward_selection",
    "plot_tuning",
    "plot_pipeline",
    "plot_uncertainty",
    "plot_intervals",
    "plot_coverage_by_groups",
    "plot_uncertainty_metrics",
    "plot_model_assisted",
    "plot_farm_carbon",
    "plot_residuals",
    "plot_feature_importance",
    "plot_attention",
    "plot_experts",
    "plot_extract_chips",
    "plot_imagery",
    "plot_fine_tuning",
    "plot_map",
    "plot_error_profile",
    "plot_change_over_time",
    "plot_dask",
    "plot_share_model",
]


def gallery_order(filename):
    """Return the sort key of an example."""
    name = Path(filename).stem
    return (READING_ORDER.index(name) if name in READING_ORDER else len(READING_ORDER), name)


def gallery_arguments(gallery_conf, script_vars):
    """Return command-line arguments that write the files of an example to the build folder."""
    return ["--out", "../docs/_build/examples"]


class NoProgressBar(tqdm):
    """Disabled progress bar; on a page every update would be a line."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **{**settings, "disable": True})


comparison.tqdm = NoProgressBar

project = "sptgnn-sklearn"
author = "sptgnn-sklearn developers"
version = release = sptgnn_sklearn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build", "measured"]
templates_path = ["_templates"]
# Single backticks in docstrings link to importable names, and are italics otherwise.
default_role = "autolink"

autosummary_generate = True
# Metadata routing methods that scikit-learn adds to every estimator and documents itself.
autodoc_default_options = {
    "exclude-members": "set_fit_request, set_predict_request, set_score_request, set_split_request"
}
autodoc_typehints = "none"  # types are in the docstrings
numpydoc_show_class_members = False  # listed by the template

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "reset_argv": "conf.gallery_arguments",
    "within_subsection_order": "conf.gallery_order",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sptgnn_sklearn",),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}
# torch-geometric decorates functions with torch.jit.script when imported.
warnings.filterwarnings("ignore", message=r".torch\.jit\.script. is deprecated")

html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "sptgnn-sklearn"
html_show_sourcelink = False
# No sidebar on pages without subpages.
html_sidebars = {
    name: []
    for name in (
        "index",
        "install",
        "quickstart",
        "auto_examples/index",
        "search",
        "genindex",
        "py-modindex",
    )
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "footer_start": [],
    "footer_end": [],
    # Examples and pages with code in two columns use the full width.
    "secondary_sidebar_items": {
        name: ["page-toc"]
        for name in ("generated/*", *(page.stem for page in Path(__file__).parent.glob("*.rst")))
        if not name.startswith("coming_from_")
    },
}
toc_object_entries_show_parents = "hide"


def fix_docstring(app, what, name, obj, options, lines):
    """Escape trailing underscores in shapes and format the items of a returned Bunch as a list."""
    section = ""
    for i, line in enumerate(lines):
        if i + 1 < len(lines) and line and set(lines[i + 1]) == {"-"}:
            section = line
        line = line.replace("(n_features_in_,)", r"(n_features_in\_,)")
        if section == "Returns":
            line = re.sub(r"^    (?=\w[\w, ]* : )", "    - ", line)
        lines[i] = line


def write_root_files(app):
    """Convert files in the root folder of the repository to included reStructuredText."""
    root, folder = Path(app.srcdir).parent, Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = to_rst((root / f"{name}.md").read_text(encoding="utf-8"))
        (folder / f"{name.lower()}.inc").write_text(text, encoding="utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (folder / "versions.inc").write_text(version_table(project), encoding="utf-8")


def visit_math(translator, node):
    """Write a formula as MathML, which browsers render without a script."""
    inline = isinstance(node, nodes.math)
    translator.body.append(tex2mathml(node.astext().strip(), as_block=not inline))
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("builder-inited", write_root_files)
    app.connect("autodoc-process-docstring", fix_docstring, priority=400)  # before numpydoc
