"""Fetch published raw data: python -m shards.fetch arc1|arc2|conceptarc|sudoku|maze [options]"""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from hrm_scale.base.command_line import Parser
from hrm_scale.base.errors import ConfigError, EnvironmentProblem, nearest
from hrm_scale.base.output import check_folder

_NAMES = ("arc1", "arc2", "conceptarc", "sudoku", "maze")
_EXAMPLES = """\
examples:
  python -m shards.fetch arc1
  python -m shards.fetch arc1 --from ARC-AGI.tar.gz
  python -m shards.fetch sudoku --to raw/sudoku --mirror https://mirror.example/hub

environment: HRM_SCALE_CACHE, whose folder raw is for all of them (default ~/.cache/hrm_scale);
             HRM_SCALE_MIRROR, as --mirror; HF_ENDPOINT, the address of the hub
exit codes: 0 fetched, 2 wrong arguments, 3 not what was published, 5 no network or no disk space
"""


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    name, given = arguments.name, arguments.given
    if name not in _NAMES:
        raise ConfigError(
            f"{name!r} is not a data set to fetch, choose from {', '.join(_NAMES)}."
            f"{nearest(name, list(_NAMES))}"
        )
    mirror = _mirror(arguments.mirror, name)
    target = Path(os.path.abspath(arguments.to or _cache() / name))
    check_folder(target, "--to")
    from hrm_scale.base.progress import say

    from .sources import SOURCES
    from .store import is_complete, store

    source = SOURCES[name]
    if is_complete(source, target, overwrite=arguments.overwrite):
        say(f"{source.title}: already there and unchanged")
    else:
        say(f"{source.title} · {source.pinned} · licence: {source.licence}")
        try:
            store(source, target, given=given, mirror=mirror)
        except EnvironmentProblem as error:
            if given is not None:
                raise
            raise EnvironmentProblem(f"{error} · {_by_hand(name, target)}") from error
        say("as published: " + (f"digest {source.digest}" if source.digest else "number of rows"))
    print(target)
    say(f"next: `{_next_command(name, target)}`")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m shards.fetch",
        description="Download published raw data, check them, and say what to type next.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help=", ".join(_NAMES))
    add("--to", type=Path, metavar="DIR", help="folder to make (default: NAME in the cache)")
    add(
        "--from",
        type=Path,
        dest="given",
        metavar="PATH",
        help="use what was fetched elsewhere: an archive (.tar.gz, .zip) or a clone for ARC, a "
        "folder with train.csv and test.csv for sudoku and maze; checked in the same way",
    )
    add(
        "--mirror",
        metavar="URL",
        help="address instead of https://codeload.github.com or https://huggingface.co",
    )
    add("--overwrite", action="store_true", help="replace a fetched folder that was changed")
    return parser


def _mirror(option: str | None, name: str) -> str | None:
    hub = os.environ.get("HF_ENDPOINT") if name in ("sudoku", "maze") else None
    mirror = option or os.environ.get("HRM_SCALE_MIRROR") or hub
    if mirror and not mirror.startswith(("http://", "https://")):
        raise ConfigError(
            f"{mirror!r} is no address for --mirror: give one that starts with http:// or https://"
        )
    return mirror or None


def _cache() -> Path:
    folder = os.environ.get("HRM_SCALE_CACHE") or "~/.cache/hrm_scale"
    return Path(folder).expanduser() / "raw"


def _by_hand(name: str, target: Path) -> str:
    """What to do without a network."""
    from .sources import SOURCES

    urls = SOURCES[name].urls(None)
    again = f"python -m shards.fetch {name} --to {shlex.quote(str(target))}"
    if name in ("sudoku", "maze"):
        what = f"fetch {' and '.join(urls.values())} into one folder"
        give = f"`{again} --from THAT_FOLDER`"
    else:
        what, give = f"fetch {' '.join(urls.values())}", f"`{again} --from THAT_FILE`"
    return (
        f"on a machine with network {what}, copy it here and type {give}; or name a mirror with "
        "--mirror URL; the same command again goes on where it stopped"
    )


def _next_command(name: str, target: Path) -> str:
    def builder(module: str, *words: object) -> str:
        return shlex.join(["python", "-m", f"shards.{module}", *map(str, words)])

    if name == "sudoku":
        return builder(
            *("sudoku", "--source", "csv", "--input", target, "--subsample-size", 1000),
            *("--num-aug", 1000, "--output-dir", "data/sudoku-extreme-1k-aug-1000"),
        )
    if name == "maze":
        output = "data/maze-30x30-hard-1k"
        return builder("maze", "--source", "csv", "--input", target, "--output-dir", output)
    if name == "arc2":
        output = "data/arc-2-aug-1000"
        return builder("arc", "--dataset-dirs", target / "data", "--output-dir", output)
    # ARC-1 is trained together with ConceptARC, as published.
    other = {"arc1": "conceptarc", "conceptarc": "arc1"}[name]
    folders = {name: target, other: target.with_name(other)}
    if not folders[other].is_dir():
        return builder("fetch", other, "--to", folders[other])
    dirs = (folders["arc1"] / "data", folders["conceptarc"] / "corpus")
    return builder("arc", "--dataset-dirs", *dirs, "--output-dir", "data/arc-aug-1000")
