"""What a puzzle of one kind and size is: everything the rest of the program must know about it."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hrm_scale.base.errors import ConfigError
from hrm_scale.puzzles.drawing import Drawing, Token
from hrm_scale.puzzles.symmetry import Symmetry
from hrm_scale.puzzles.text import counted, lines_of, read_board

SAMPLES = 8
UNKNOWN = "?"
"""How a token is written that stands for nothing on a board."""
NO_SOLUTION, ONE_SOLUTION, SEVERAL_SOLUTIONS, UNCOUNTED = "none", "one", "several", "not checked"
"""How many right answers a puzzle has, whatever a model answers."""


@dataclass(frozen=True)
class Problem:
    """A question, and its answer where one is known: grids of tokens, uint8 [h, w].

    name: for people. task: of ARC, the name of the task whose test input the question is.
    """

    name: str
    question: np.ndarray
    answer: np.ndarray | None = None
    task: str | None = None


@dataclass(frozen=True)
class Verdict:
    """solved: None where only the right answer could tell, and it is not known. words: the same
    with the reasons, for people. wrong: bool [h, w], cells of the answer to be marked."""

    solved: bool | None
    words: str
    wrong: np.ndarray


@dataclass(frozen=True)
class Fault:
    """Cells where answers break a rule: bool [n, S], and words for one such cell and for several.

    open: the cells are not filled yet, which is no contradiction.
    """

    cells: np.ndarray
    one: str
    many: str
    open: bool = False


@dataclass(frozen=True)
class Generated:
    """Examples of a generator: inputs, labels uint8 [n, S]; ratings int32 [n], if any."""

    inputs: np.ndarray
    labels: np.ndarray
    ratings: np.ndarray | None = None


class Puzzle(abc.ABC):
    """A kind of puzzle at one size. An example is a question and its answer, boards of
    height * width tokens, uint8; `tokens[token]` says what a token means and looks like.

    A kind must give `kind`, `tokens` and either `faults` (rules cell by cell) or `solved`; all
    else has a default. Its constructor takes the numbers in `board` as keyword arguments.
    """

    kind: ClassVar[str]
    """Name in data sets and on command lines."""
    noun: ClassVar[str] = "puzzles"
    """Several of them, for people."""
    known: ClassVar[bool] = True
    """Is anything known of them but their tokens?"""
    tokens: tuple[Token, ...]
    blank: int | None = None
    """Token of a question's cell that the answer fills."""
    answers_only: frozenset[int] = frozenset()
    """Tokens that no question has."""
    symbols: range = range(0)
    """Tokens that can be exchanged for each other everywhere: the digits of a Sudoku."""
    symmetry: Symmetry | None = None
    boxes: tuple[int, int] | None = None
    """Height and width of the boxes of a Sudoku."""
    has_rules: ClassVar[bool] = True
    """Can an answer be checked without the right one?"""
    one_solution: ClassVar[bool] = False
    """Must a question have exactly one answer, and can `count_solutions` tell?"""
    has_tasks: ClassVar[bool] = False
    """Do examples belong to tasks, whose variants have identifiers and vote for answers?"""
    notes: ClassVar[dict[str, str]] = {}
    """What to say about a puzzle, by how many solutions it has; nothing where all is well."""
    rating: ClassVar[str] = "rating"
    """What the column `ratings` counts."""
    rating_edges: ClassVar[tuple[int, ...]] = ()
    """Lower ends of the bins of ratings that an evaluation reports."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width

    @classmethod
    def of_size(cls, size: int) -> Puzzle:
        """The puzzle that `--size` means. ValueError for a size that does not exist."""
        return cls(size, size)

    @property
    def board(self) -> dict[str, int]:
        """Its entry `board` in dataset.json."""
        return {"height": self.height, "width": self.width}

    @property
    def cells(self) -> int:
        return self.height * self.width

    @property
    def title(self) -> str:
        """Kind and size for people: ``sudoku 9x9``."""
        return f"{self.kind} {self.height}x{self.width}"

    # --- rules ---

    def faults(self, inputs: np.ndarray, answers: np.ndarray) -> list[Fault]:
        """Where answers break the rules, none where they are right. inputs, answers: [n, S]."""
        return []

    def plausible(self, inputs: np.ndarray) -> np.ndarray:
        """bool [n]: can these be questions of the kind? Tokens [n, S]."""
        return np.ones(len(inputs), bool)

    def solved(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """bool [n]: does the answer obey all rules, whatever the label is? Tokens [n, S]."""
        right = np.ones(len(inputs), bool)
        for fault in self.faults(inputs, answers):
            right &= ~fault.cells.any(axis=1)
        return right

    def broken(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """bool [n]: does the answer contradict itself or the question already? Tokens [n, S]."""
        wrong = np.zeros(len(inputs), bool)
        for fault in self.faults(inputs, answers):
            if not fault.open:
                wrong |= fault.cells.any(axis=1)
        return wrong

    def judge(self, problem: Problem, answers: Sequence[np.ndarray]) -> Verdict:
        """Is a grid of `answers` right? Marks are for the first of them."""
        grid = answers[0]
        pair = problem.question.reshape(1, -1), grid.reshape(1, -1)
        wrong, found = np.zeros(grid.shape, bool), []
        for fault in self.faults(*pair):
            if count := int(fault.cells.sum()):
                wrong |= fault.cells.reshape(grid.shape)
                found.append(counted(count, fault.one, fault.many))
        if self.solved(*pair)[0]:
            return Verdict(True, "solved", np.zeros(grid.shape, bool))
        return Verdict(False, f"not solved: {', '.join(found) or 'a rule is broken'}", wrong)

    def problems(
        self, inputs: np.ndarray, labels: np.ndarray, *, unique: bool = False
    ) -> Iterator[tuple[int, str, str]]:
        """Rows of a data set that are no such puzzle: (row, code of `lint`, what is wrong).

        unique: also search for second solutions (E404), of kinds with `one_solution`.
        """
        right = self.solved(inputs, labels)
        for row in np.flatnonzero(~right).tolist():
            question, answer = self.grid(inputs[row]), self.grid(labels[row])
            yield row, "E430", self.judge(Problem("", question), [answer]).words
        if unique and right.any():
            rows = np.flatnonzero(right).tolist()
            counts = self.count_solutions([self.grid(inputs[row]) for row in rows])
            for row, count in zip(rows, counts, strict=True):
                if count == SEVERAL_SOLUTIONS:
                    yield row, "E404", "the question has a second solution"

    def count_solutions(self, questions: Sequence[np.ndarray]) -> list[str | None]:
        """NO_SOLUTION, ONE_SOLUTION, SEVERAL_SOLUTIONS or UNCOUNTED of each question; None where
        only the known answer could tell."""
        return [None] * len(questions)

    def note(self, solutions: str | None) -> str:
        """A line about a puzzle that has not exactly one solution, else nothing."""
        return self.notes.get(solutions or "", "")

    measured: ClassVar[Mapping[str, str]] = {}
    """Names of `measures` and what each says of an answer, the strictest last."""

    def measures(self, inputs: np.ndarray, answers: np.ndarray) -> dict[str, np.ndarray]:
        """Further properties of answers that an evaluation counts, bool [n] by name."""
        return {}

    def exactly_one(self) -> np.ndarray | None:
        """Constraint groups, int64 [groups, members]: of the candidates in each group exactly one
        is true. Candidate ``cell * len(symbols) + k`` says that the cell holds `symbols[k]`. None
        where the rules are not of this form, or depend on the question."""
        return None

    # --- text ---

    @property
    def question_tokens(self) -> tuple[int, ...]:
        """The tokens that a question can be written with."""
        return tuple(
            number
            for number, token in enumerate(self.tokens)
            if token.glyph and number not in self.answers_only
        )

    def start(self) -> np.ndarray:
        """The question that an editor begins with, [h, w]."""
        token = self.question_tokens[0] if self.blank is None else self.blank
        return np.full((self.height, self.width), token, np.uint8)

    def parse(self, text: str, where: str, *, answer: bool = False) -> np.ndarray:
        """The grid written in a text, on one line or over several; a question unless `answer`.
        DataError, one line that begins with `where`."""
        allowed = {
            token.glyph: number
            for number, token in enumerate(self.tokens)
            if token.glyph and (answer or number not in self.answers_only)
        }
        names = ", ".join(f"{glyph!r} {self.tokens[n].name}" for glyph, n in allowed.items())
        rows = ["".join(row.split()) for row in lines_of(text)]
        return read_board(rows, (self.height, self.width), allowed, names, where)

    def is_row(self, line: str) -> bool:
        """Does a line of a file look like one row of a drawn board, not like a whole puzzle?"""
        return len("".join(line.split())) == self.width

    def is_empty(self, line: str) -> bool:
        """Is there nothing on a line of a file? Such lines separate drawn boards."""
        return not line.strip()

    def encode(self, grid: np.ndarray) -> np.ndarray:
        """What a model reads: tokens uint8 [S] of a grid."""
        return grid.reshape(-1)

    def grid(self, tokens: np.ndarray) -> np.ndarray:
        """The grid, right or not, in the tokens [S] that a model writes."""
        return tokens.reshape(self.height, self.width).astype(np.uint8)

    def glyph(self, token: int) -> str:
        return (self.tokens[token].glyph if token < len(self.tokens) else "") or UNKNOWN

    def text(self, grid: np.ndarray) -> str:
        """A grid on one line, as `parse` reads it where every token stands for something."""
        return "".join(map(self.glyph, grid.reshape(-1).tolist()))

    def remark(self, tokens: np.ndarray) -> str:
        """A few words about a question, tokens [S], such as ``30 clues``."""
        return ""

    # --- drawing ---

    @cached_property
    def drawing(self) -> Drawing:
        return Drawing(self.height, self.width, self.tokens, self.blank)

    # --- making puzzles ---

    def samples(self) -> list[Problem]:
        """A few easy puzzles to begin with on the play page, where no data set is at hand."""
        try:
            made = self.generate(SAMPLES, seed=0)
        except ConfigError:
            return []
        return self.named_samples(made.inputs, made.labels)

    def named_samples(self, inputs: np.ndarray, labels: np.ndarray) -> list[Problem]:
        pairs = zip(inputs[:SAMPLES], labels[:SAMPLES], strict=True)
        return [
            Problem(f"sample {number}", self.grid(question), self.grid(answer))
            for number, (question, answer) in enumerate(pairs, start=1)
        ]

    def generate(self, count: int, seed: int) -> Generated:
        """At least `count` examples, the same for the same seed. ConfigError without a generator.

        Repeats up to symmetry are dropped by the caller, who calls again with another seed.
        """
        raise ConfigError(f"{self.kind} puzzles have no generator")


def recognised(
    cls: type[Puzzle], board: Mapping[str, int], cells: int, tokens: int
) -> Puzzle | None:
    """The puzzle of a data set's numbers; None where they are not those of the kind."""
    try:
        puzzle = cls(**board)
    except (TypeError, ValueError):
        return None
    fits: Any = (puzzle.cells, len(puzzle.tokens)) == (cells, tokens)
    return puzzle if fits else None
