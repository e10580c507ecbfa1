"""Sphinx configuration for ``make docs``; builds offline."""

import os
import re
import shutil
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

from cards_directive import ExampleCards
from markdown_to_rst import to_rst
from version_table import version_table

# Address of the repository, such as "https://github.com/OWNER/NAME"; pages link to it if it is set.
REPOSITORY = ""

# First parameter of each group of parameters on the page of SpTGNNRegressor, and its heading.
PARAMETER_GROUPS = {
    "coordinates": "Column roles",
    "relations": "Graph and inputs",
    "base_estimator": "Base models and target",
    "n_estimators": "Ensemble and training",
    "calibration": "Uncertainty",
    "callbacks": "Callbacks and checkpoints",
    "n_member_groups": "Computation",
}


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
    "sphinx.ext.viewcode",
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
    "copyfile_regex": r"index\.rst",  # the sections of the gallery
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
html_favicon = "_static/logo.svg"
html_copy_source = html_show_sourcelink = True
html_sourcelink_suffix = ""
html_context = {"default_mode": "auto"}
# No sidebar on pages without subpages.
html_sidebars = {
    name: [] for name in ("index", "install", "quickstart", "search", "genindex", "py-modindex")
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
# Tables of results and code in two columns use the full width; the left sidebar has their contents.
WIDE_PAGES = [
    page.stem
    for page in sorted(Path(__file__).parent.glob("*.rst"))
    if page.stem != "index"
    and re.search(r"\.\. include:: measured/|\.\. container:: twins", page.read_text("utf-8"))
]
html_sidebars |= {name: ["sidebar-nav-bs", "page-toc"] for name in WIDE_PAGES}
html_theme_options = {
    "logo": {
        "text": "sptgnn-sklearn",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
    },
    "switcher": {"json_url": "_static/switcher.json", "version_match": version},
    "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["version"],
    "footer_end": [],
    "secondary_sidebar_items": {
        "**": ["page-toc", "sg_download_links", "edit-this-page", "sourcelink"],
        **{name: [] for name in ("index", "auto_examples/index", *WIDE_PAGES)},
    },
}
if REPOSITORY:
    user, repository = REPOSITORY.rstrip("/").split("/")[-2:]
    html_context |= {
        "github_user": user,
        "github_repo": repository,
        "github_version": "main",
        "doc_path": "docs",
    }
    html_theme_options |= {"github_url": REPOSITORY, "use_edit_page_button": True}
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


def add_parameter_headings(app, what, name, obj, options, lines):
    """Insert a heading before the first parameter of each group of SpTGNNRegressor."""
    if name != "sptgnn_sklearn.SpTGNNRegressor":
        return
    for parameter, heading in PARAMETER_GROUPS.items():
        i = next(i for i, line in enumerate(lines) if line.startswith(f"    **{parameter}** :"))
        lines[i:i] = [f"    .. rubric:: {heading}", ""]


def copy_thumbnails(app):
    """Replace the reduced figures of sphinx-gallery by the drawn thumbnails."""
    source, target = (
        Path(app.srcdir) / folder for folder in ("images/thumbnails", "auto_examples/images/thumb")
    )
    for path in source.glob("*.png"):
        shutil.copy(path, target / f"sphx_glr_{path.stem}_thumb.png")


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


def visit_citation(translator, node):
    """Open an entry of the references, and the list at the first one."""
    # docutils gives entries a role that lists must not contain.
    if not isinstance(node.previous_sibling(), nodes.citation):
        translator.body.append('<div role="list" class="citation-list">\n')
    tag = translator.starttag(node, "div", classes=["citation"], role="listitem")
    translator.body.append(tag)


def depart_citation(translator, node):
    """Close an entry of the references, and the list after the last one."""
    translator.body.append("</div>\n")
    if not isinstance(node.next_node(descend=False, siblings=True), nodes.citation):
        translator.body.append("</div>\n")


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.add_directive("example-cards", ExampleCards)
    app.connect("builder-inited", write_root_files)
    app.connect("builder-inited", copy_thumbnails, priority=900)  # after sphinx-gallery
    app.connect("autodoc-process-docstring", fix_docstring, priority=400)  # before numpydoc
    app.connect("autodoc-process-docstring", add_parameter_headings, priority=600)  # after it
