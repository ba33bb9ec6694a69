"""A search's report, Markdown with pictures in it, taken apart for the terminal or made one HTML file.

Rule: the file stands alone. It loads nothing, runs nothing, and text from a search stays text.
"""

from __future__ import annotations

import html
import re
from typing import Any

from markdown_it import MarkdownIt

_PICTURE = re.compile(r"^data:image/(png|jpeg|gif|webp|svg\+xml)[;,]", re.IGNORECASE)
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .75rem }
img { max-width: 100%; height: auto }
pre { background: #f6f6f6; padding: .75rem; overflow-x: auto }
code { font-family: ui-monospace, monospace; font-size: .9em }
"""


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    usual = parser.validateLink
    # Pictures inside an <img> run no scripts, so drawn ones (SVG) are as safe as the rest.
    parser.validateLink = lambda url: bool(_PICTURE.match(url)) or usual(url)  # type: ignore[method-assign]
    return parser


def html_page(markdown: str, title: str) -> str:
    """The report as one HTML file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{html.escape(title)}</h1>\n{_parser().render(markdown)}</body></html>\n"
    )


def sections(markdown: str) -> dict[str, dict[str, Any]]:
    """Title -> {`text`, `columns`, `rows`} of each part of a report below a second-level heading.

    `text` is Markdown without the part's tables and pictures; `rows` are the lines of its table.
    """
    lines = markdown.splitlines()
    tokens = _parser().parse(markdown)
    starts = [
        (token.map[0], tokens[i + 1].content)
        for i, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2" and token.level == 0 and token.map
    ]
    found = {}
    for (first, title), (end, _) in zip(starts, [*starts[1:], (len(lines), "")], strict=True):
        found[title] = _section("\n".join(lines[first + 1 : end]))
    return found


def _section(markdown: str) -> dict[str, Any]:
    columns: list[str] = []
    rows: list[list[str]] = []
    cells: list[str] = []
    kept = markdown.splitlines()
    in_body = False
    for i, token in enumerate(tokens := _parser().parse(markdown)):
        if token.type == "table_open" and token.map:
            for line in range(*token.map):
                kept[line] = ""
        in_body = token.type == "tbody_open" or (in_body and token.type != "tbody_close")
        if token.type == "th_open":
            columns.append(_text(tokens[i + 1].children))
        elif in_body and token.type == "td_open":
            cells.append(_text(tokens[i + 1].children))
        elif in_body and token.type == "tr_close":
            rows.append(cells)
            cells = []
    text = "\n".join(line for line in kept if not line.startswith("![") and not _is_reference(line))
    return {"text": re.sub(r"\n{3,}", "\n\n", text).strip(), "columns": columns, "rows": rows}


def _text(children: Any) -> str:
    """A table's cell without its markup."""
    return "".join(child.content for child in children or ())


def _is_reference(line: str) -> bool:
    """Whether a line gives a picture's content under the name that the text uses."""
    return re.match(r"\[[^\]]+\]: *<?data:", line) is not None
