"""Charts as SVG elements. Colours come from the page's style sheet, by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 420, 46, 10, 10, 34
_INNER = WIDTH - LEFT - RIGHT


def _svg(name: str, height: float, parts: Iterable[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {height:g}"'
    return (
        f'<svg class="chart" {size} role="img" aria-label="{escape(name)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, style: str, title: str) -> str:
    """`style`: attributes."""
    box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f"<rect {box} {style}><title>{escape(title)}</title></rect>"


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def nice_top(value: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `value`; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(n * power for n in (1, 2, 5, 10) if n * power >= value * (1 - 1e-9)))


def _frame(height: float, top: float, percent: bool) -> list[str]:
    """Horizontal lines with their values from 0 to `top`."""
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = TOP + (1 - share) * (height - TOP - BOTTOM)
        value = share * top
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "rule"))
        parts.append(_text(LEFT - 6, y + 4, f"{value:.0%}" if percent else f"{value:,.4g}", "end"))
    return parts


def bars(
    values: Sequence[float],
    labels: Sequence[str],
    titles: Sequence[str],
    *,
    name: str,
    axis: str,
    percent: bool = False,
    height: int = 190,
) -> str:
    """A bar for each value; `labels` below (empty ones left out), `titles` when pointed at."""
    top = 1.0 if percent else nice_top(max(values, default=0))
    inner, slot = height - TOP - BOTTOM, _INNER / max(1, len(values))
    parts = _frame(height, top, percent)
    for at, (value, label, title) in enumerate(zip(values, labels, titles, strict=True)):
        tall = value / top * inner
        x = LEFT + at * slot
        parts.append(
            _rect(x + slot * 0.08, TOP + inner - tall, slot * 0.84, tall, 'class="value"', title)
        )
        if label:
            parts.append(_text(x + slot / 2, TOP + inner + 14, label))
    parts.append(_text(LEFT + _INNER / 2, height - 4, axis))
    return _svg(name, height, parts)


def heat(
    shares: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[str],
    titles: Sequence[Sequence[str]],
    *,
    name: str,
    axis: str,
) -> str:
    """A field for each share [rows, columns] in 0 ... 1, the larger the stronger; first row on
    top."""
    tall, wide = 20, _INNER / max(1, len(columns))
    parts = []
    for y, row in enumerate(shares):
        parts.append(_text(LEFT - 6, TOP + y * tall + 14, rows[y], "end"))
        for x, share in enumerate(row):
            place = LEFT + x * wide + 0.5, TOP + y * tall + 0.5, wide - 1, tall - 1
            parts.append(_field(*place, float(share), titles[y][x]))
            if share >= 0.005:
                middle = place[0] + wide / 2, place[1] + 14
                strong = ' class="on"' if share > 0.5 else ""
                parts.append(
                    f'<text{strong} x="{middle[0]:.1f}" y="{middle[1]:.1f}"'
                    f' text-anchor="middle">{100 * share:.0f}</text>'
                )
    below = TOP + tall * len(shares)
    parts += [_text(LEFT + (x + 0.5) * wide, below + 15, text) for x, text in enumerate(columns)]
    parts.append(_text(LEFT + _INNER / 2, below + 32, axis))
    return _svg(name, below + 38, parts)


def _field(x: float, y: float, wide: float, tall: float, share: float, title: str) -> str:
    ground = f'class="field" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}"'
    return f"<rect {ground}/>" + _rect(
        x, y, wide, tall, f'class="share" fill-opacity="{share:.3f}"', title
    )


def board_heat(
    shares: np.ndarray, lines: Sequence[Sequence[int]], titles: Sequence[str], name: str
) -> str:
    """The board, each cell the stronger the larger its share [h, w]; NaN: no cell. Full strength is
    the largest share of all. lines: `Drawing.lines`."""
    height, width = shares.shape
    known = shares[~np.isnan(shares)]
    most = float(known.max()) if known.size and known.max() > 0 else 1.0
    digits = 0 if most >= 0.1 else 1
    size = 260 / max(height, width)
    left, top = (WIDTH - size * width) / 2, 6
    parts = []
    for at, share in enumerate(shares.ravel().tolist()):
        if np.isnan(share):
            continue
        y, x = divmod(at, width)
        place = left + x * size, top + y * size
        parts.append(_field(*place, size, size, share / most, titles[at]))
        if size > 24:
            strong = ' class="on"' if share / most > 0.5 else ""
            middle = place[0] + size / 2, place[1] + size / 2 + 4
            parts.append(
                f'<text{strong} x="{middle[0]:.1f}" y="{middle[1]:.1f}"'
                f' text-anchor="middle">{100 * share:.{digits}f}</text>'
            )
    for row, column, to_row, to_column in lines:
        ends = left + column * size, top + row * size, left + to_column * size, top + to_row * size
        parts.append(_line(*ends, "box"))
    outline = f'x="{left:.1f}" y="{top}" width="{width * size:.1f}" height="{height * size:.1f}"'
    parts.append(f'<rect class="outline" {outline}/>')
    return _svg(name, top + height * size + 6, parts)


def rate_bar(rate: float, low: float, high: float) -> str:
    """A rate 0 ... 1 as a bar with its interval, without words: they stand beside it."""
    return (
        '<svg class="rate" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="field" width="100" height="12"/>'
        f'<rect class="value" width="{100 * rate:.2f}" height="12"/>'
        f'<line class="whisker" x1="{100 * low:.2f}" x2="{100 * high:.2f}" y1="6" y2="6"/></svg>'
    )
