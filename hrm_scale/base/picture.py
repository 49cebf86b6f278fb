"""Pictures drawn with matplotlib: one style, no display, written as a whole or not at all."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.base.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart; yellow is too faint for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#777777"
_STYLE: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.12,  # inches
    "figure.constrained_layout.h_pad": 0.08,
    "lines.solid_capstyle": "round",
    "svg.hashsalt": "hrm_scale",
}
_DPI = 120


def save_picture(path: Path, draw: Callable[[], Figure], advice: str = "") -> None:
    """Draw under the common style, and write a `.png` or `.svg` file.

    EnvironmentProblem without matplotlib; advice: what to do once it is installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise EnvironmentProblem(
            "matplotlib, which draws the pictures, is not installed: type `pip install matplotlib`"
            f" (or `./launch.sh env`, which brings it){advice}"
        ) from None
    # First use on a machine builds a font cache and says so; names may lack a glyph in the font.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpl.rcdefaults()  # a user's own style must not make it unreadable
        mpl.rcParams.update(_STYLE)
        data = io.BytesIO()
        kind = path.suffix.lower()[1:]
        metadata = {"Date": None} if kind == "svg" else None
        draw().savefig(data, format=kind, dpi=_DPI, metadata=metadata)
    replace_file(path, [data.getvalue()])


def colours(count: int) -> list[str]:
    """A colour each; of many, shades from dark to light in their order."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    shades = mpl.colormaps["viridis"]
    return [to_hex(shades(0.92 * number / (count - 1))) for number in range(count)]


def plain_label(name: str) -> str:
    """A name as a label: no mathematics between dollar signs, not hidden, not endless."""
    name = name if len(name) <= 40 else f"{name[:18]} ... {name[-17:]}"
    name = name.replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name
