"""The site made of the documentation: it builds without a warning, is complete, and needs no network."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PUBLIC = (
    "prefect_tune",
    "prefect_tune.blocks",
    "prefect_tune.space",
    "prefect_tune.schedules",
    "prefect_tune.store",
)
ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe)\b[^>]*\bsrc=["'](?:https?:)?//[^"']+"""
    r"""|<link\b[^>]*\brel=["'](?:stylesheet|preload|preconnect)["'][^>]*\bhref=["'](?:https?:)?//[^"']+"""
    r"""|(?:url\(|@import)\s*["']?(?:https?:)?//[^"')]+"""
)


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    """Sphinx's configuration of this site as a module."""
    spec = importlib.util.spec_from_file_location("conf_of_the_site", DOCS / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site; a warning of Sphinx is a failure, and all of them are shown."""
    folder = tmp_path_factory.mktemp("site")
    order = ["-q", "-W", "--keep-going", "-d", folder / "read", "-c", DOCS, ROOT, folder / "html"]
    # Whoever asks the network for anything finds nobody.
    env = os.environ | dict.fromkeys(["http_proxy", "https_proxy", "all_proxy"], "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *map(str, order)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


def names_in(site: Path) -> set[str]:
    """The names of Python that the site has an entry for, from the list that it hands to other sites."""
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(content).decode().splitlines()
    return {line.split(" ")[0] for line in lines if line.split(" ")[1].startswith("py:")}


def public_names() -> set[str]:
    """The dotted names of all that our packages say is public."""
    return {f"{where}.{name}" for where in PUBLIC for name in importlib.import_module(where).__all__}


def test_every_public_name_has_an_entry(site):
    """What `__all__` of a public package lists is in the API reference."""
    assert public_names() - names_in(site) == set()


def test_every_page_of_the_documentation_is_built(site):
    """Each Markdown page has its page in the site; that each is linked, Sphinx has checked."""
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    assert [page for page in pages if not (site / page.relative_to(ROOT).with_suffix(".html")).exists()] == []


def test_nothing_is_loaded_from_elsewhere(site):
    """No page fetches scripts, fonts, styles or pictures from another host."""
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    found = {path.name: ELSEWHERE.findall(path.read_text(encoding="utf-8")) for path in files}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_navigation_is_what_the_index_links(conf):
    """A table of contents for each heading, of the pages linked below it, in order and once."""
    text = (
        "# T\n[r](../R.md)\n## One\n- [a](a.md), [a again](a.md)\n| [b](how-to/b.md#part) |\n## Two\nwords\n"
    )
    tables = conf.navigation(text, conf.PurePosixPath("docs"))
    assert [line for line in tables.splitlines() if line.startswith(("/", ":caption"))] == [
        "/R", ":caption: One", "/docs/a", "/docs/how-to/b",
    ]  # fmt: skip


def test_pages_below_another_index_are_its_own(conf):
    """An index that is not the first page leads only to pages of its folder."""
    tables = conf.navigation("[x](../reference.md)\n[y](y.md)\n", conf.PurePosixPath("docs/api"))
    assert [line for line in tables.splitlines() if line.startswith("/")] == ["/docs/api/y"]


@pytest.mark.parametrize(
    ("docstring", "rest"),
    [
        ("Args:\n    a, b,\n    c: words.\n", "Args:\n    a, b, c: words.\n"),
        ("Args:\n    a: words,\n    and more: of them.\n", "Args:\n    a: words,\n    and more: of them.\n"),
        (
            "Rule 1: one\n        line.\nRule 2: two.\n",
            "\n- Rule 1: one\n  line.\n\n- Rule 2: two.\n",
        ),
        (
            "  ```python\n  a = 1\n\n  b\n  ```\n",
            "  .. code-block:: python\n\n      a = 1\n\n      b\n\n",
        ),
    ],
    ids=["names on two lines", "prose", "rules", "code"],
)
def test_docstrings_become_what_sphinx_reads(conf, docstring, rest):
    """Our habits in docstrings, spelled out."""
    assert conf.as_rest(docstring) == rest
