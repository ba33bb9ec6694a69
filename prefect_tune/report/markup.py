"""The pieces of a Markdown page: code spans, fenced blocks, tables.

Rule: text that came from users stands in code spans and fenced blocks only, where nothing in it is markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from prefect_tune.report.text import clean, one_line

_TAIL_LINES, _TAIL_CHARS = 25, 2_500


def code(text: str, *, width: int = 200, cell: bool = False) -> str:
    """`text` as a code span on one line; in a table's `cell`, its bars are escaped."""
    text = one_line(text, width) or " "
    if cell:
        # Parsers disagree on a backslash before an escaped bar: some take it for an escaped backslash.
        text = re.sub(r"\\(?=\|)", r"\\ ", text).replace("|", r"\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(text: str) -> str:
    """`text` as a fenced block that nothing in it can close; the last lines when it is long."""
    text = clean(text).strip("\n")
    lines = text[-_TAIL_CHARS:].splitlines()[-_TAIL_LINES:]
    if len("\n".join(lines)) < len(text):
        lines = ["…", *lines]
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return "\n".join([f"{fence}text", *lines, fence])


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A Markdown table of finished cells. `align` has one letter per column, `l` or `r`."""
    rule = [":--" if a == "l" else "--:" for a in align]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])
