"""Sphinx settings: ``make docs``. Nothing here needs a network."""

import os
import re
import sys
import warnings
from pathlib import Path

from tqdm.auto import tqdm

import sptgnn_sklearn
from sptgnn_sklearn import comparison

# The gallery is run beside other work, and small tables are no faster with more threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# Sphinx cannot cache settings that are functions, so this one is named below and found by its name.
sys.path.insert(0, str(Path(__file__).parent))


def gallery_arguments(gallery_conf, script_vars):
    """Return the command line of an example: its files go to the build, not over the demo's."""
    return ["--out", "../docs/_build/examples"]


class NoBar(tqdm):
    """A progress bar that keeps silent: on a page every step of it would be a line."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **{**settings, "disable": True})


comparison.tqdm = NoBar

project = "sptgnn-sklearn"
author = "sptgnn-sklearn developers"
version = release = sptgnn_sklearn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "measured"]
templates_path = ["_templates"]
# Single backticks in docstrings link to what can be imported, and are italics otherwise.
default_role = "autolink"

autosummary_generate = True
# scikit-learn writes these methods into every estimator; they are described there.
autodoc_default_options = {
    "exclude-members": "set_fit_request, set_predict_request, set_score_request, set_split_request"
}
autodoc_typehints = "none"  # the docstrings say it in words
numpydoc_show_class_members = False  # the template lists them

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "reset_argv": "conf.gallery_arguments",
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}
# torch-geometric decorates functions with torch.jit.script when imported, as pytest's settings say.
warnings.filterwarnings("ignore", message=r".torch\.jit\.script. is deprecated")

html_theme = "pydata_sphinx_theme"
html_title = "sptgnn-sklearn"
html_show_sourcelink = False
html_sidebars = {"index": [], "method": []}
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}


def mend_docstring(app, what, name, obj, options, lines):
    """Write two habits of numpydoc docstrings in a way that docutils reads as it is meant.

    A trailing underscore in a shape is no link, and the parts of a returned Bunch are a list.
    """
    section = ""
    for i, line in enumerate(lines):
        if i + 1 < len(lines) and line and set(lines[i + 1]) == {"-"}:
            section = line
        line = line.replace("(n_features_in_,)", r"(n_features_in\_,)")
        if section == "Returns":
            line = re.sub(r"^    (?=\w[\w, ]* : )", "    - ", line)
        lines[i] = line


def setup(app):
    app.connect("autodoc-process-docstring", mend_docstring, priority=400)  # before numpydoc
