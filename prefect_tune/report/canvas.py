"""The paper and the pen of the pictures: one look, whatever the user's matplotlib settings are.

Rule 1: no pyplot and no rcParams; a user's figures and styles are left alone, and theirs leave ours alone, so
every colour is given. Rule 2: PNG, because its size is bounded: 10,000 candidates as SVG are megabytes, and
the picture is carried inside an artifact. Rule 3: white ground, so it reads on dark pages too.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from prefect_tune.report.text import one_line

# Okabe and Ito's palette: told apart by colour-blind readers.
BLUE, RED, GREEN, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9"
GREY, INK, GRID = "#999999", "#222222", "#dddddd"
DPI = 144
WIDTH = 7.6  # inches: 1,094 pixels, the width of the UI's page


def data_uri(image: bytes) -> str:
    """A PNG or SVG as a `data:` URI, to be put into Markdown."""
    kind = "png" if image.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def new_figure(height: float) -> Any:
    """An empty white figure, `height` inches high."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white", edgecolor="white")
    figure.set_layout_engine("none")  # not even when the user's settings ask for one
    return figure


def png(figure: Any) -> bytes:
    """The figure drawn by Agg, in 128 colours: a third of the bytes, and no difference to the eye."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    take_literally(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # not `savefig`, which obeys the user's savefig.* settings
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    inked = np.flatnonzero((pixels < 255).any(axis=(1, 2)))
    image = Image.fromarray(np.ascontiguousarray(pixels[: inked[-1] + 12]))  # labels need more or less room
    image = image.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = image.getpalette() or []
    image.putpalette([255 if c >= 253 else c for c in palette])  # the octree makes white 254
    target = io.BytesIO()
    image.save(target, format="png", compress_level=6)
    return target.getvalue()


def say(axes: Any, message: str) -> None:
    """Puts words in the place of a plot."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, message, ha="center", va="center", fontsize=10, color=INK)


def style(axes: Any) -> None:
    """Gives `axes` the common look; called last, when limits are set."""
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    axes.grid(True, color=GRID, linewidth=0.6, linestyle="-")
    axes.tick_params(colors=INK, labelsize=7.5, length=2.5, width=0.6, which="both", direction="out", pad=2)
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=GREY, linewidth=0.8)
    axes.yaxis.set_major_formatter(_formatter(*axes.get_ylim()))


def _formatter(low: float, high: float) -> Callable[[float, int], str]:
    """Labels with as many digits as keep neighbours apart; no offset above the axis, where nobody looks."""
    decimals = 2 - math.floor(math.log10(high - low))
    if decimals > 9 or max(abs(low), abs(high)) >= 1e6:
        return lambda value, _: f"{value:.6g}"
    return lambda value, _: f"{value:.{max(1, decimals)}f}".rstrip("0").rstrip(".")


def place_ticks(axes: Any, n: int) -> None:
    """Ticks for places 1 to `n`: the first, then round numbers."""
    from matplotlib.ticker import MaxNLocator

    ticks = [int(t) for t in MaxNLocator(nbins=9, integer=True).tick_values(0, n) if 1 < t <= n]
    axes.set_xticks([1, *ticks], [f"{t:,}" for t in [1, *ticks]])


def drawable(text: str, width: int = 60) -> str:
    """`text` on one line, with a question mark for each character that the font lacks.

    matplotlib would draw a box and warn, once for each character.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    text = one_line(text, width)
    if text.isascii():
        return text
    font = get_font(findfont(FontProperties()))
    return "".join(c if font.get_char_index(ord(c)) else "?" for c in text)


def take_literally(figure: Any) -> None:
    """Every text in the figure is drawn as written: a dollar sign starts no formula, and TeX is not asked."""
    from matplotlib.text import Text

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_ticklabels()  # makes them
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_usetex(False)
