"""The documentation, held to what it says: names exist, code is checked, links lead somewhere.

Blocks fenced as ```python run (see the files beside this one), those of one page in order, as they would in a
notebook. Blocks fenced as ```python no-run (a server, a cluster, a day of work) are only compiled.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import prefect_tune

sys.path.append(str(Path(__file__).parent))
from pages import FENCE, PAGES, ROOT, RUNNABLE, name_of, script_of

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DECISION_HEADINGS = ["Situation", "Choice", "What lost and why", "How we would notice that we were wrong"]

LINK = re.compile(r"(?<!\\)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HOME = re.compile(r"(?<![\w.~:/-])/(?:root|home/\w+|Users/\w+)/")


def prose(text: str) -> str:
    """The text without its code, blocks and spans alike."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors_of(text: str) -> set[str]:
    """The anchors a page's headings get."""
    headings = re.findall(r"^#+\s+(.+?)\s*$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_script_keeps_the_lines_of_its_page():
    """Only blocks with the fence asked for are taken, and an error in one names the line of its page."""
    text = "# Title\n```python\na = 1\n```\nwords\n```python no-run\nb = 2\n```\n```python\nc = a\n```\n"
    assert script_of(text, info="python").splitlines() == ["", "", "a = 1", *[""] * 6, "c = a", ""]
    assert script_of(text, info="python no-run").splitlines()[6] == "b = 2"


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_code_that_is_not_run_compiles(page):
    """A block that is only shown is still Python."""
    compile(script_of(page.read_text(encoding="utf-8"), info="python no-run"), name_of(page), "exec")


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_python_is_fenced_so_that_it_is_checked(page):
    """A block of Python says `python` or `python no-run`; any other spelling would escape the checks."""
    infos = {block["info"].strip() for block in FENCE.finditer(page.read_text(encoding="utf-8"))}
    assert {info for info in infos if info.lower().startswith("py")} <= {"python", "python no-run"}


@pytest.mark.parametrize("name", prefect_tune.__all__)
def test_reference_mentions_every_public_name(name):
    """What `__all__` lists is in the reference, as code."""
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert re.search(rf"`{re.escape(name)}\b", reference)


@pytest.mark.parametrize("name", sorted(set(prefect_tune.__all__) - {"__version__"}))
def test_public_names_explain_themselves(name):
    """Every public name can be imported and has a docstring."""
    assert (getattr(prefect_tune, name).__doc__ or "").strip()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page):
    """A link to a file of the repository finds it, and its anchor, if it has one, a heading."""
    broken = []
    text = page.read_text(encoding="utf-8")
    for match in LINK.finditer(prose(text)):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target) if target else page
        found = file.exists() and (
            not anchor or file.suffix != ".md" or anchor in anchors_of(file.read_text(encoding="utf-8"))
        )
        if not found:
            broken.append(match["target"])
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_folder_of_its_author(page):
    """Paths on a page are the reader's: no home folder, and not the place of this checkout."""
    text = page.read_text(encoding="utf-8")
    assert HOME.search(text) is None
    # A checkout right below the root of the file system may be called like any word.
    assert len(ROOT.parts) < 3 or str(ROOT) not in text


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_decisions_keep_their_form(page):
    """A decision has its four headings in order, on at most 40 lines."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line[3:] for line in lines if line.startswith("## ")] == DECISION_HEADINGS
    assert len(lines) <= 40
    assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+", page.stem)


def test_decisions_have_numbers_of_their_own():
    """No number is used twice."""
    numbers = [page.name[:4] for page in DECISIONS]
    assert len(numbers) == len(set(numbers))
