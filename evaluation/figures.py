"""How every picture of this project is begun, styled and saved; there is no other way.

matplotlib is imported where something is drawn and not before, because tables are made by the same modules.
"""

import base64
import io
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from closedbook.evaluation.files import open_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 150
# Okabe and Ito's palette, told apart with every common kind of colour vision; markers and line styles differ too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GRAY = "#666666"
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "closedbook",  # the same picture is the same file
}
_Drawing = TypeVar("_Drawing", bound=Callable[..., Any])


def styled(draw: _Drawing) -> _Drawing:
    """A function that draws, in the project's style."""

    @wraps(draw)
    def drawing(*args: Any, **kwargs: Any) -> Any:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return cast(_Drawing, drawing)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, its size in inches, whose parts make room for each other; needs no screen."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure as its file's ending says: .png or .svg.

    Raises:
        ValueError: For another ending.
    """
    kind = Path(path).suffix
    if kind not in (".png", ".svg"):
        raise ValueError(f"{path}: a figure is written as .png or .svg")
    with open_atomic(path, "wb") as file:
        file.write(_render(figure, kind[1:]))


def data_uri(figure: "Figure") -> str:
    """The figure as an SVG inside an address, for a page that needs no other file."""
    return f"data:image/svg+xml;base64,{base64.b64encode(_render(figure, 'svg')).decode('ascii')}"


def set_title(figure: "Figure", title: str) -> None:
    """A title from the figure's left edge on, which long names beside the axes do not push out of it."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)


def log_axis(axes: "Axes", ticks: Sequence[float]) -> None:
    """A horizontal axis of orders of magnitude, with plain numbers where something was measured and only there."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _render(figure: "Figure", kind: str) -> bytes:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.BytesIO()
    with rc_context(STYLE):
        if kind == "svg":
            FigureCanvasSVG(figure).print_figure(file, format="svg", metadata={"Date": None})
        else:
            FigureCanvasAgg(figure).print_figure(file, format="png", dpi=_DOTS_PER_INCH)
    return file.getvalue()
