"""Puzzles of each kind: their text, the judgement of an answer, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import BOARDS, puzzles, sudoku_meta
from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import DatasetMeta
from hrm_scale.puzzles import Problem, Puzzle
from hrm_scale.puzzles.arc.grid import encode
from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.maze.paths import count_shortest_paths
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.maze.rules import rule_labels
from hrm_scale.puzzles.registry import require_known
from hrm_scale.puzzles.sudoku.puzzle import Sudoku

FOUR = Sudoku(4, 4, 2, 2)
SOLUTION, QUESTION = "1234341221434321", "1..4..1..1..4..1"
MAZE = Maze(4, 4)
ROWS = ("S  #", "#  #", "  G ", "    ")
ARC = Arc()
NINE = Sudoku(9, 9, 3, 3)
KINDS: tuple[Puzzle, ...] = (FOUR, MAZE, ARC)


def words(board: Puzzle, question: str, answer: str, known: str | None = None) -> str:
    right = None if known is None else board.parse(known, "k", answer=True)
    puzzle = Problem("p", board.parse(question, "q"), right)
    return board.judge(puzzle, [board.parse(answer, "a", answer=True)]).words


def test_a_sudoku_is_read_in_every_usual_layout() -> None:
    plain = FOUR.parse(QUESTION, "x")
    assert plain.dtype == np.uint8
    assert FOUR.text(plain) == QUESTION
    drawn = "1 . | . 4\r\n_ _ | 1 0\n----+----\n. 1 | . .\n4 . | . 1\n"
    assert FOUR.parse(drawn, "x").tolist() == plain.tolist()


@pytest.mark.parametrize("size", [4, 6, 9])
def test_sudokus_of_every_size_are_read_back_and_their_solutions_solve(size: int) -> None:
    board = Sudoku(**BOARDS[size])
    rng = np.random.default_rng(size)
    for tokens, solution in zip(*puzzles(size, 5), strict=True):
        question = board.grid(tokens)
        assert board.parse(board.text(question), "x").tolist() == question.tolist()
        puzzle = Problem("p", question)
        assert board.judge(puzzle, [board.grid(solution)]).solved
        spoiled = solution.copy()
        one, two = rng.choice(size * size, 2, replace=False)
        spoiled[one] = solution[two]
        assert board.judge(puzzle, [board.grid(spoiled)]).solved == (solution[one] == solution[two])


@pytest.mark.parametrize(
    ("board", "text", "problem"),
    [
        (FOUR, "", "has 0 cells"),
        (FOUR, QUESTION[:-1], "has 15 cells"),
        (FOUR, "1..4\n..1\n.1..\n4..1", "has 15 cells (row 2 has 3)"),
        (FOUR, "5" + QUESTION[1:], "character 1 of the puzzle (row 1, column 1) is '5'"),
        (FOUR, QUESTION[:-1] + "²", "(row 4, column 4) is '²'"),
        (FOUR, "11" + "." * 14, "the 1 in row 1, column 1 stands twice"),
        (MAZE, "", "has 0 cells"),
        (MAZE, "\n".join((*ROWS[:3], "   ")), "has 15 cells (row 4 has 3)"),
        (MAZE, "S" * 2 + "." * 13 + "G", "the maze has 2 S"),
        (MAZE, "S" + "." * 15, "the maze has 0 G"),
        (MAZE, "S" + "o" * 14 + "G", "is 'o'; allowed are '#' for a wall"),
        (ARC, "", "no grid"),
        (ARC, "012/34", "not rectangular: it has rows of 2 and of 3"),
        (ARC, "01x", "row 1, column 3 is 'x'"),
        (ARC, "٣", "row 1, column 1 is"),
        (ARC, "0" * 31, "is 1x31, allowed are 1 to 30"),
    ],
)
def test_bad_puzzles_are_named(board: Puzzle, text: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        board.parse(text, "puzzles.txt line 7")
    message = str(caught.value)
    assert message.startswith("puzzles.txt line 7: ")
    assert problem in message
    assert "\n" not in message


@settings(max_examples=200)
@given(
    st.sampled_from(KINDS),
    st.one_of(
        st.text(max_size=20),
        st.text("0123456789.|-+ x", min_size=14, max_size=20),
        st.text("# .SGo_\n", min_size=14, max_size=20),
    ),
    st.booleans(),
)
@example(FOUR, "\x00" * 16, False)
@example(FOUR, "１" * 16, False)
def test_whatever_is_typed_gives_a_board_or_one_error(
    board: Puzzle, text: str, answer: bool
) -> None:
    message = ""
    try:
        grid = board.parse(text, "puzzle", answer=answer)
    except DataError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        assert message.startswith("puzzle: ")
    else:
        assert board.parse(board.text(grid), "again", answer=answer).tolist() == grid.tolist()
        assert board.grid(board.encode(grid)).tolist() == grid.tolist()


def test_faults_of_a_sudoku_are_named_and_marked() -> None:
    puzzle = Problem("p", FOUR.parse(QUESTION, "q"), FOUR.parse(SOLUTION, "a"))
    grid = FOUR.parse(SOLUTION, "a")
    assert FOUR.judge(puzzle, [grid]).words == "solved"
    # The last clue answered with 2: it clashes with the 2 of its row and of its column.
    spoiled = grid.copy()
    spoiled[3, 3] = 3
    verdict = FOUR.judge(puzzle, [spoiled])
    assert not verdict.solved
    assert "not solved: 1 clue changed, 3 cells contradict each other, 1 cell differs" in (
        verdict.words
    )
    assert int(verdict.wrong.sum()) == 3
    for nothing in (0, 1, 7, 200):
        spoiled[3, 3] = nothing
        assert "1 cell without a digit" in FOUR.judge(puzzle, [spoiled]).words
    other = "1324241331424231"
    assert words(FOUR, QUESTION, other) == "solved"
    assert "differ from the known answer" in words(FOUR, QUESTION, other, SOLUTION)


def test_a_maze_is_read_with_its_blanks() -> None:
    grid = MAZE.parse("\n".join(ROWS), "x")
    assert MAZE.text(grid) == "".join(ROWS)
    assert MAZE.parse("".join(ROWS).replace(" ", "."), "x").tolist() == grid.tolist()
    assert MAZE.parse("\r\n".join(ROWS).replace(" ", "_"), "x").tolist() == grid.tolist()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("So #\n#o #\n oG \n    ", "solved: a shortest path, 4 moves"),
        ("Soo#\n# o#\n  G \n    ", "solved: a shortest path, 4 moves, another one than the known"),
        ("So #\n#o #\n oG \n oo ", "touches itself at 2 cells"),
        ("So #\n#oo#\n  G#\n    ", "not solved: 1 cell of the maze changed"),
        ("\n".join(ROWS), "not solved: no path is drawn"),
        ("So #\n#oo#\n oG \n    ", "the path breaks, forks or touches itself at 2 cells"),
        ("So #\n#oo#\n  G \n    ", "solved: a shortest path"),
    ],
)
def test_answers_to_a_maze(answer: str, verdict: str) -> None:
    known = "So #\n#o #\n oG \n    "
    question = MAZE.parse("\n".join(ROWS), "q")
    puzzle = Problem("p", question, MAZE.parse(known, "k", answer=True))
    assert verdict in MAZE.judge(puzzle, [MAZE.parse(answer, "a", answer=True)]).words


def test_ways_that_are_no_shortest_path() -> None:
    question = MAZE.parse("S..#\n##..\n....\nG...", "q")
    way = MAZE.parse("Soo#\n##oo\n...o\nGooo", "a", answer=True)
    verdict = MAZE.judge(Problem("p", question), [way])
    assert verdict.words == "not solved: a path of 9 moves, the shortest has 7"
    assert not verdict.wrong.any()
    closed = MAZE.parse("S###\n####\n....\nG...", "q")
    assert MAZE.judge(Problem("p", closed), [closed]).words == "not solved: no path is drawn"


IMPOSSIBLE = """.....5.8. ...6.1.43 ......... .1.5..... ...1.6... 3.......5 53.....61
    ........4 ........."""


@pytest.mark.parametrize(
    ("board", "question", "solutions"),
    [
        (FOUR, "1..4..2..3..4..1", "none"),
        (FOUR, QUESTION, "several"),
        (FOUR, "1.34..1..1..4..1", "one"),
        (FOUR, SOLUTION, "one"),
        (FOUR, "1" + "." * 15, "several"),
        (Sudoku(6, 6, 2, 3), ".4...63.2...6..1..2...5...5.63.3....", "one"),
        (Sudoku(6, 6, 2, 3), "12345......6" + "." * 24, "none"),
        (NINE, "." * 81, "several"),
        (NINE, "12345678.........9" + "." * 63, "none"),
        (NINE, IMPOSSIBLE, "not checked"),
        (MAZE, "\n".join(ROWS), "several"),
        (MAZE, "S###\n####\n....\nG...", "none"),
        (MAZE, "S..#\n##.#\n##.#\nG...", "one"),
        (MAZE, "SG..\n....\n....\n....", "one"),
        (ARC, "012/345", None),
    ],
)
def test_solutions_of_a_puzzle_are_counted(
    board: Puzzle, question: str, solutions: str | None
) -> None:
    assert board.count_solutions([board.parse(question, "q")]) == [solutions]
    assert bool(board.note(solutions)) == (solutions not in ("one", None))


def test_shortest_paths_are_counted_as_a_plain_search_counts_them() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.choice([1, 1, 2, 2, 2], (600, 36)).astype(np.uint8)
    for row in inputs:
        row[rng.choice(36, 2, replace=False)] = [3, 4]
    wanted = [plain_path_count(row.reshape(6, 6)) for row in inputs]
    assert {0, 1, 2} <= set(wanted)
    assert count_shortest_paths(inputs, 6).tolist() == [min(count, 2) for count in wanted]


def plain_path_count(maze: np.ndarray) -> int:
    """Shortest paths from S to G, counted cell by cell."""
    front = {tuple(np.argwhere(maze == 3)[0].tolist()): 1}
    seen = set(front)
    while front:
        after: dict[tuple[int, ...], int] = {}
        for (row, column), count in front.items():
            for cell in (
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            ):
                if cell not in seen and all(0 <= x < 6 for x in cell) and maze[cell] != 1:
                    after[cell] = after.get(cell, 0) + count
        for cell, count in after.items():
            if maze[cell] == 4:
                return count
        seen |= set(after)
        front = after
    return 0


def test_builders_labels_solve_their_mazes() -> None:
    rng = np.random.default_rng(1)
    board, solved = Maze(6, 6), 0
    for _ in range(60):
        cells = rng.choice([1, 2, 2], 36).astype(np.uint8)
        cells[rng.choice(36, 2, replace=False)] = [3, 4]
        labels, moves = rule_labels(cells[None], 6)
        puzzle = Problem("p", board.grid(cells))
        verdict = board.judge(puzzle, [board.grid(labels[0])])
        assert verdict.solved == (moves[0] > 0)
        assert verdict.solved != verdict.wrong.any() or moves[0] < 0
        solved += bool(verdict.solved)
    assert 10 < solved < 60


def test_arc_answers_are_compared_with_the_known_one_alone() -> None:
    grids = [ARC.parse(text, "x") for text in ("012/345", "012/335", "01/34", "9")]
    right = Problem("p", grids[3], grids[0])
    assert ARC.judge(right, [grids[0]]).words == "solved"
    assert ARC.judge(right, [grids[1], grids[0]]).words == "solved by the second attempt"
    wrong = ARC.judge(right, [grids[1], grids[2]])
    assert wrong.words == "not solved: 1 of 6 cells differ from the known answer"
    assert np.argwhere(wrong.wrong).tolist() == [[1, 1]]
    assert ARC.judge(right, [grids[2]]).words == "not solved: the grid is 2x2, the known answer 2x3"
    nothing = ARC.grid(np.zeros(900, np.uint8))
    assert ARC.judge(right, [nothing]).solved is False
    unknown = ARC.judge(Problem("p", grids[3]), [nothing])
    assert unknown.solved is None
    assert "the model wrote no grid" in unknown.words


def test_arc_grids_lie_in_the_frame_as_the_builder_lays_them() -> None:
    grid = np.random.default_rng(3).integers(0, 10, (7, 30)).astype(np.uint8)
    tokens = ARC.encode(ARC.parse("/".join("".join(map(str, row)) for row in grid), "x"))
    assert tokens.tolist() == encode(grid).tolist()
    assert ARC.text(ARC.grid(tokens)) == "/".join("".join(map(str, row)) for row in grid)


def board_of(meta: DatasetMeta, checkpoint: str) -> Puzzle:
    return require_known(meta.puzzle, meta.kind, checkpoint)


def test_the_board_follows_from_what_the_model_was_trained_on() -> None:
    meta = sudoku_meta(6, "online")
    board = board_of(meta, "c")
    assert (board.kind, board.height, board.boxes) == ("sudoku", 6, (2, 3))
    side = {"height": 5, "width": 5}
    assert (
        board_of(replace(meta, kind="maze", seq_len=25, vocab_size=6, board=side), "c").height == 5
    )
    assert (
        board_of(replace(meta, kind="arc", seq_len=900, vocab_size=12, board={}), "c").kind == "arc"
    )
    others: list[dict[str, Any]] = [
        {"kind": "other"},
        {"board": {}},
        {"seq_len": 35},
        {"kind": "maze", "seq_len": 70 * 70, "board": {"height": 70, "width": 70}},
        {"kind": "arc"},
    ]
    for changes in others:
        with pytest.raises(ConfigError, match="checkpoint=c was trained on"):
            board_of(replace(meta, **changes), "c")
