"""Look into checkpoints, and hand them on: `python -m tools.checkpoint info DIR`, `convert`.

`info` shows what is inside a run folder or checkpoint folder, whether every byte is as it was
written, and how to continue. `convert` reads and writes the formats of other programs. Exit status
4 when a checkpoint is not valid.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from hrm_scale.base.command_line import Parser
from hrm_scale.base.errors import EXIT_CHECKPOINT, EXIT_OK, CheckpointError
from hrm_scale.base.untrusted import printable
from hrm_scale.checkpoint.averages import AVERAGES
from hrm_scale.checkpoint.best import best_checkpoint
from hrm_scale.checkpoint.discovery import (
    FOLDER,
    candidates,
    refusal,
    resolve,
    weights_folder_name,
    weights_only,
)
from hrm_scale.checkpoint.loaded import LoadedCheckpoint, read_checkpoint
from hrm_scale.reporting.banner import render_banner
from hrm_scale.reporting.lines import duration

from .convert import add_arguments, convert

_TABLE = "puzzle_table"


def main(arguments: list[str]) -> int:
    """Entry point. Returns the exit status."""
    parser = Parser(prog="python -m tools.checkpoint", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="what a checkpoint holds, is it valid, how to go on")
    info.add_argument("dir", type=Path, metavar="DIR", help="run folder or checkpoint folder")
    into = commands.add_parser("convert", help="to and from other programs' formats")
    add_arguments(into)
    # KEY=VALUE may stand anywhere, which argparse cannot do for the rest of a command.
    options, rest = parser.parse_known_args(arguments)
    settings = [word for word in rest if word[:1] == "~" or ("=" in word and word[:1] != "-")]
    if unknown := [word for word in rest if word not in settings or options.command == "info"]:
        parser.chosen(options).error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.command == "info":
        return _info(options.dir)
    convert(options, settings)
    return EXIT_OK


def _info(path: Path) -> int:
    run_dir = path.parent if path.name == FOLDER else path
    held = [] if (path / "manifest.json").exists() else candidates(run_dir)
    if not held:
        print(_describe(read_checkpoint(resolve(path))))
        return EXIT_OK
    print(
        f"{printable(run_dir)}: {len(held)} checkpoint{'s' if len(held) != 1 else ''}, newest first"
    )
    newest: Path | None = None
    best = best_checkpoint(run_dir)
    damaged = 0
    for step, folder in weights_only(run_dir):
        problem = refusal(step, folder)
        verdict = (
            "valid"
            if problem is None
            else f"NOT VALID: {problem.removeprefix(f'{printable(folder)}: ')}"
        )
        print(f"  {folder.name}  {verdict}; weights alone, for evaluation")
    for step, folder in held:
        problem = refusal(step, folder)
        if problem is None:
            newest = newest or folder
            print(f"  {folder.name}  valid{', best so far' if folder == best else ''}")
        else:
            damaged += 1
            print(f"  {folder.name}  NOT VALID: {problem.removeprefix(f'{printable(folder)}: ')}")
    if newest is None:
        raise CheckpointError(
            f"none of the {len(held)} checkpoints of {run_dir} is valid: restore one from a copy,"
            f" or move {run_dir / FOLDER} away to start from the beginning"
        )
    print()
    print(_describe(read_checkpoint(newest, check="none")))
    if damaged:
        print(f"\nA run goes on from {newest.name}; it passes over what is not valid.")
    return EXIT_CHECKPOINT if damaged else EXIT_OK


def _describe(checkpoint: LoadedCheckpoint) -> str:
    state, manifest = checkpoint.state, checkpoint.manifest
    rows: list[tuple[str, str, str]] = [("step", f"{checkpoint.step}", "")]
    if isinstance(samples := state.get("samples"), int):
        rows.append(("samples", f"{samples}", "trained on so far"))
    if isinstance(clock := state.get("clock"), dict) and "train" in clock:
        rows.append(
            ("training time", duration(clock["train"]), "evaluation and saving not counted")
        )
    if "model" in checkpoint.parts:
        infos = checkpoint.parts["model"].infos.values()
        rows.append(("parameters", f"{sum(info.numel for info in infos):,}", "buffers included"))
    if AVERAGES in checkpoint.parts:
        rows.append(("averaged weights", "yes", f"in {AVERAGES}.safetensors, by the same names"))
    tables = [part for name, part in checkpoint.parts.items() if name.startswith(_TABLE)]
    if tables:
        shapes = [info.shape for part in tables for info in part.infos.values()]
        size = f"{sum(shape[0] for shape in shapes)}x{shapes[0][1]}"
        rows.append(("puzzle table", size, f"in {len(tables)} files" if len(tables) > 1 else ""))
    rows.append(("size", _size(manifest.total_bytes), "of which:"))
    for name in sorted(manifest.files, key=lambda name: (-manifest.files[name].bytes, name)):
        tensors = checkpoint.parts.get(name.removesuffix(".safetensors"))
        note = "" if tensors is None else f"tensors: {len(tensors)}"
        rows.append((f"  {name}", _size(manifest.files[name].bytes), note))
    rows.append(("written by", *_versions(checkpoint.versions)))
    rows.append(("valid", "yes", f"{len(manifest.files)} files agree with the manifest"))
    lines = [render_banner(str(checkpoint.path), rows), ""]
    if checkpoint.path.name == weights_folder_name(checkpoint.step):
        where = shlex.quote(str(checkpoint.path))
        return "\n".join(
            [
                *lines,
                "Weights alone. To evaluate, or to start a run from them:",
                f"  python -m hrm_scale.evaluate checkpoint={where}",
                f"  python -m hrm_scale.train init_from={where}",
            ]
        )
    return "\n".join([*lines, "To continue:", f"  {printable(_command(checkpoint))}"])


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def _versions(versions: dict[str, Any]) -> tuple[str, str]:
    packages = versions.get("packages") or {}
    shown = [f"python {versions.get('python', '?')}"]
    shown += [f"{name} {packages[name]}" for name in packages]
    git = versions.get("git")
    commit = "no git commit known"
    if git:
        commit = f"commit {git['commit'][:12]}" + (" with changes" if git["changed"] else "")
    return commit, ", ".join(shown)


def _command(checkpoint: LoadedCheckpoint) -> str:
    """The command that wrote it (state `command`); it finds its own checkpoint by itself."""
    command = checkpoint.state.get("command")
    if isinstance(command, str) and command:
        return command
    run_dir = checkpoint.path.resolve().parent.parent
    return (
        "the command that started the run, with"
        f" {shlex.quote(f'checkpoint_path={run_dir}')} (resume=auto is the default)"
    )
