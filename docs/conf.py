"""How Sphinx makes the site of these pages: `make docs`.

Rule 1: the pages are plain Markdown that reads as well without a site. What else the site needs is made here.
Rule 2: the navigation is what `index.md` links: a page that it does not is a warning, and a warning fails.
Rule 3: the whole repository is the source folder, so that links to the README and to examples lead somewhere.
"""

from __future__ import annotations

import inspect
import posixpath
import re
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel

from prefect_tune._version import __version__

project = "prefect-tune"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = ["**/.*", ".*", "build", "demo-output"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# Docstrings: Google's sections, and single backticks for code.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_param = False  # else names that share a description each get a copy of it
napoleon_custom_sections = [("Attributes", "params_style"), "Source"]
smartquotes_action = "D"  # dashes alone: `{"class": ...}` is to be copied
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # in the signature they hide the names; the docstrings say what each is

# Nothing is fetched while the site is built or read: the theme that comes with Sphinx, without web fonts.
html_theme = "alabaster"
html_title = f"prefect-tune {release}"
html_logo = "images/logo.png"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "page_width": "1240px",
    "sidebar_width": "260px",
    "fixed_sidebar": False,
    "show_powered_by": False,
    "font_family": "system-ui, sans-serif",
    "head_font_family": "system-ui, sans-serif",
    "sidebar_collapse": True,
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html", "relations.html"]}

_LINK = re.compile(r"\]\((?P<target>[^)\s#:]+\.md)(?:#[^)\s]*)?\)")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_RULE = re.compile(r"^(?P<rule>Rule \d+: .*(?:\n(?!Rule \d).*\S.*)*)", re.MULTILINE)
_NAMES = re.compile(r"^ +\w+(?:, \w+)*,\n(?: +\w+(?:, \w+)*,\n)* +\w+(?:, \w+)*: ", re.MULTILINE)


def navigation(text: str, folder: PurePosixPath) -> str:
    """The hidden tables of contents of a page: one for each of its headings, of the pages linked below it.

    Args:
        text: the page.
        folder: in which it lies, from the root.
    """
    parts = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
    tables = []
    for caption, body in zip(["", *parts[1::2]], parts[::2], strict=True):
        pages = [posixpath.normpath(folder / match["target"]) for match in _LINK.finditer(body)]
        named = [f"/{page.removesuffix('.md')}" for page in dict.fromkeys(pages) if _belongs(page, folder)]
        title = [f":caption: {caption}"] if caption else []
        if named:
            tables.append("\n".join(["```{toctree}", ":hidden:", *title, "", *named, "```"]))
    return "\n\n".join(tables)


def _belongs(page: str, folder: PurePosixPath) -> bool:
    """Whether the `index.md` of that folder leads to the page; that of `docs` leads everywhere."""
    return f"{folder}/index" == root_doc or page.startswith(f"{folder}/")


def add_navigation(_app: Any, document: str, source: list[str]) -> None:
    """Nothing; an `index.md` has its navigation, which only the site shows."""
    if PurePosixPath(document).name == "index":
        source[0] += "\n\n" + navigation(source[0], PurePosixPath(document).parent)


def as_rest(text: str) -> str:
    """A docstring of ours in the form that Sphinx reads: the same words, rules and code marked."""

    def code(match: re.Match[str]) -> str:  # Prefect's UI shows the docstrings of blocks as Markdown
        body = re.sub(r"\n(?=[^\n])", "\n    ", match["code"].rstrip())
        return f"{match['indent']}.. code-block:: {match['language'] or 'text'}\n\n    {body}\n"

    def rule(match: re.Match[str]) -> str:
        return "\n- " + re.sub(r"\n *", "\n  ", match["rule"])

    def names(match: re.Match[str]) -> str:
        return re.sub(r",\n +", ", ", match[0])

    text = _FENCE.sub(code, text)
    text = _RULE.sub(rule, text)
    return _NAMES.sub(names, text)


def fields_of(found: Any) -> list[str]:
    """Lines that list the fields of a block, as the form in Prefect's UI does; none for anything else."""
    if not (inspect.isclass(found) and issubclass(found, BaseModel)):
        return []
    fields = {name: field.description for name, field in found.model_fields.items() if field.description}
    return ["", "Attributes:", *(f"    {name}: {text}" for name, text in fields.items()), ""]


def mend_docstring(_app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Nothing; the lines of a docstring are such as Sphinx reads."""
    lines[:] = [*as_rest("\n".join(lines) + "\n").splitlines(), *fields_of(found)]


def setup(app: Any) -> None:
    """Nothing; Sphinx calls the functions above. Before napoleon, which reads the sections."""
    app.connect("source-read", add_navigation)
    app.connect("autodoc-process-docstring", mend_docstring, priority=400)
