"""Make shards of somebody else's data set: python -m shards.convert SOURCE --output-dir DIR"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_scale.base.command_line import natural
from hrm_scale.base.errors import ConfigError, nearest

from ..builder import command

if TYPE_CHECKING:
    from .source import Request

_EXAMPLES = """\
SOURCE is one of
  a published HRM or TRM folder      DIR/{train,test}/all__inputs.npy ...
  WebDataset tars, a sample a record KEY.inputs.npy KEY.labels.npy [KEY.cls], .npz, .json, .txt
  CSV files                          question,answer; with --charset for what the characters mean

examples:
  python -m shards.convert arc-aug-1000 --output-dir data/arc --compression zstd
  python -m shards.convert tars/ --output-dir data/mine --vocab-size 12 --ignore-label-id -100
  python -m shards.convert . --split train=a-*.tar,test=b.tar --columns inputs=x.npy,labels=y.npy \\
      --output-dir data/mine
  python -m shards.convert puzzles.csv --charset '.123456789' --output-dir data/mine

A published folder also trains as it stands: data_path=arc-aug-1000.
"""
COLUMNS = ("inputs", "labels", "puzzle_identifiers", "groups", "puzzles")


def main(argv: list[str]) -> int:
    request = _request(_parser().parse_args(argv))
    from hrm_scale.base.progress import say

    from .files import convert

    meta = convert(request)
    counts = " and ".join(f"{info.examples} {name}" for name, info in meta.splits.items())
    next_steps = command.next_steps(request.output_dir)
    say(f"converted to {request.output_dir}: {counts} examples, kind {meta.kind} · {next_steps}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command.builder_parser(
        "convert", "Make shards of a data set somebody else wrote.", _EXAMPLES
    )
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="a folder or a file, see below")
    add("--compression", choices=["none", "zstd"], default="none", help="default %(default)s")
    add(
        "--split",
        metavar="NAME=FILE,...",
        help="tar, CSV: which files are which split; a pattern such as a-*.tar may be given. "
        "Default: folders or file names that begin with train and test, else all is train",
    )
    add(
        "--columns",
        metavar="COLUMN=FIELD,...",
        help=f"where to find {', '.join(COLUMNS)}; tar: an extension (x.npy, cls), or NAME inside "
        "of one (npz:NAME, json:NAME); CSV: the name of a column. Default: found in the first "
        "sample; CSV: inputs=question,labels=answer",
    )
    add("--charset", metavar="TEXT", help="CSV, .txt: characters of tokens 1, 2, ... (0 pads)")
    add("--vocab-size", type=natural, metavar="N", help="default: the largest token and one more")
    add("--pad-id", type=natural, metavar="N", help="token of padding (default 0)")
    add(
        "--ignore-label-id",
        type=_ignored,
        metavar="N",
        help="label that is not trained on (default: none; with --charset 0)",
    )
    add(
        "--kind",
        choices=["sudoku", "maze", "arc", "other"],
        help="what the tokens are, by this project's rules (default: other; of a published folder: "
        "recognised)",
    )
    return parser


def _request(arguments: argparse.Namespace) -> Request:
    from .source import Request

    columns = _pairs(arguments.columns, "--columns", "inputs=x.npy,labels=y.npy")
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise ConfigError(
            f"--columns {unknown[0]}=...: no such column, allowed are {', '.join(COLUMNS)}."
            f"{nearest(unknown[0], list(COLUMNS))}"
        )
    charset = arguments.charset
    if charset is not None and (not charset or len(set(charset)) != len(charset)):
        raise ConfigError(f"--charset {charset!r}: give every character of the tokens once")
    if charset is not None and not charset.isascii():
        raise ConfigError(f"--charset {charset!r}: only ASCII characters are supported")
    split = _pairs(arguments.split, "--split", "train=a.tar,test=b.tar")
    return Request(**vars(arguments) | {"split": split, "columns": columns})


def _pairs(text: str | None, option: str, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in (text or "").split(",") if text is not None else []:
        name, equals, value = part.partition("=")
        if not (name and equals and value) or name in found:
            raise ConfigError(f"{option} {text}: {part!r} is not understood, give {example}")
        found[name] = value
    return found


def _ignored(text: str) -> int | str:
    return text if text == "none" else int(text)


_ignored.__name__ = "whole number or none"
