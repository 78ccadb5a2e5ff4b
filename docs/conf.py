"""How the site is built: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from made import write_pages

from lll import __version__

project, author, version = "Little Label Learners", "The Little Label Learners authors", __version__
copyright = "the authors, MIT licence"
extensions = ["myst_nb"]
smartquotes = False
suppress_warnings = ["myst.header"]  # of docstrings and the log, whose levels are their own
exclude_patterns = ["made.py"]
html_theme, html_title = "furo", project
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
myst_heading_anchors = 3


def setup(app: object) -> None:
    """Write the pages that are made from the code before any is read."""
    write_pages(Path(__file__).parent / "made")
