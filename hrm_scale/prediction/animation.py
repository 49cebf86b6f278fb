"""Predictions as an animated GIF: a frame a step, several puzzles beside each other."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.prediction.prediction import Prediction, Step
from hrm_scale.puzzles import Puzzle

MOST = 16
"""Puzzles in one animation; those after them are left out."""
_COLOURS = 64
_STEP_MS, _LAST_MS = 600, 2500
_MARGIN, _CAPTION = 16, 26
_TILE = 300
"""Room for a board, in pixels."""
_WHITE, _INK, _LINE, _BOX = (255, 255, 255), (28, 28, 30), (208, 207, 201), (74, 74, 80)
_BLUE, _RED, _GIVEN, _PINK, _AMBER = (
    (33, 88, 208),
    (200, 30, 37),
    (238, 237, 232),
    (251, 224, 224),
    (217, 138, 0),
)
_ROLES = {
    "wall": (61, 64, 72),
    "path": (47, 111, 228),
    "start": (27, 138, 79),
    "goal": (179, 32, 143),
}


def require_pillow(output: str) -> None:
    """EnvironmentProblem, one line, where Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise EnvironmentProblem(
            f"output={output} needs the package pillow: type pip install 'hrm_scale[plot]'"
        ) from None


class Animation:
    """Collects predictions, the first `MOST` of them; `pieces` is the file."""

    def __init__(self, board: Puzzle) -> None:
        self._board = board
        self._shown: list[tuple[np.ndarray, str, list[Step]]] = []
        self.left_out = 0

    def add(self, prediction: Prediction) -> None:
        if len(self._shown) == MOST:
            self.left_out += 1
            return
        puzzle = prediction.puzzle
        self._shown.append((puzzle.question, puzzle.name, list(prediction.steps())))

    def pieces(self) -> Iterator[bytes]:
        count = max(len(steps) for _, _, steps in self._shown)
        frames = [self._frame(number, count) for number in range(count)]
        buffer = io.BytesIO()
        frames[0].save(
            buffer,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[_STEP_MS] * (count - 1) + [_LAST_MS],
            loop=0,
            disposal=1,
        )
        yield buffer.getvalue()

    def _frame(self, number: int, count: int) -> Any:
        """The image of all puzzles after step `number`, counted from 0."""
        from PIL import Image, ImageDraw, ImageFont

        columns = math.ceil(math.sqrt(len(self._shown)))
        rows = math.ceil(len(self._shown) / columns)
        width = columns * (_TILE + _MARGIN) + _MARGIN
        height = rows * (_TILE + _CAPTION + _MARGIN) + 2 * _MARGIN + _CAPTION
        image = Image.new("RGB", (width, height), _WHITE)
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(15)
        draw.text((_MARGIN, _MARGIN // 2), f"step {number + 1} of {count}", _INK, font)
        for place, (question, name, steps) in enumerate(self._shown):
            row, column = divmod(place, columns)
            x = _MARGIN + column * (_TILE + _MARGIN)
            y = _MARGIN + _CAPTION + row * (_TILE + _CAPTION + _MARGIN)
            step = steps[number]
            sides = [one.grid.shape for one in steps]
            size = _TILE // max(1, *(side for shape in sides for side in shape))
            self._paint(draw, question, step, (x, y), size)
            draw.text((x, y + _TILE + 4), _caption(name, step), _INK, font)
        return image.quantize(_COLOURS, dither=Image.Dither.NONE)

    def _paint(
        self, draw: Any, question: np.ndarray, step: Step, corner: tuple[int, int], size: int
    ) -> None:
        from PIL import ImageFont

        font = ImageFont.load_default(max(6, size * 0.6))
        left, top = corner
        for (row, column), token in np.ndenumerate(step.grid):
            x, y = left + column * size, top + row * size
            wrong = bool(step.wrong[row, column])
            behind = int(question[row, column]) if question.shape == step.grid.shape else 0
            ground, ink, text = self._look(int(token), behind, wrong)
            draw.rectangle((x, y, x + size, y + size), ground, _LINE)
            middle = (x + size / 2, y + size / 2)
            if text:
                draw.text(middle, text, ink, font, anchor="mm")
            if step.changed is not None and step.changed[row, column]:
                draw.rectangle((x + 2, y + 2, x + size - 2, y + size - 2), None, _AMBER, 2)
        if self._board.boxes is not None:
            _boxes(draw, self._board.height, self._board.boxes, corner, size)

    def _look(
        self, token: int, behind: int, wrong: bool
    ) -> tuple[tuple[int, ...], tuple[int, ...], str]:
        """Colours of the ground and of the text, and the text of a cell, whose question has the
        token `behind`."""
        drawing, glyph = self._board.drawing, self._board.glyph(token)
        own, under = self._fill(token), self._fill(behind) if drawing.background else ""
        if own.startswith("#"):
            ground = _rgb(own)
            return ground, _WHITE if sum(ground) < 330 else _INK, "x" if wrong else ""
        if own:
            ground = _RED if wrong else _ROLES.get(own, _WHITE)
            return ground, _WHITE, glyph if own in ("start", "goal") else ""
        given = self._board.blank is not None and behind not in (self._board.blank, 0)
        ink = _RED if wrong else _INK if given or under else _BLUE
        ground = _PINK if wrong else _rgb(under) if under else _GIVEN if given else _WHITE
        return ground, ink, "" if token == self._board.blank else glyph.replace(".", "")

    def _fill(self, token: int) -> str:
        tokens = self._board.tokens
        return tokens[token].fill if token < len(tokens) else ""


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def _caption(name: str, step: Step) -> str:
    parts = [name[:24], f"halt head {step.sure:.0%}"]
    if wrong := int(step.wrong.sum()):
        parts.insert(1, f"{wrong} wrong")
    return "  ".join(parts)


def _boxes(
    draw: Any, side: int, boxes: tuple[int, int], corner: tuple[int, int], size: int
) -> None:
    """Thick lines around the boxes."""
    (left, top), length = corner, side * size
    for row in range(0, side + 1, boxes[0]):
        draw.line((left, top + row * size, left + length, top + row * size), _BOX, 2)
    for column in range(0, side + 1, boxes[1]):
        draw.line((left + column * size, top, left + column * size, top + length), _BOX, 2)
