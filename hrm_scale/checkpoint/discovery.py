"""Which checkpoint to use: the newest one that verifies, and why the others were passed over."""

from __future__ import annotations

import re
from pathlib import Path

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.untrusted import printable
from hrm_scale.checkpoint.manifest import MANIFEST, Manifest, first_problem, read_manifest

FOLDER = "checkpoints"
_MOST_RUNS = 5  # named in an error
_STEP = re.compile(r"step-(\d{8,})")
_WEIGHTS = re.compile(r"weights-(\d{8,})")
_STEPPED_ASIDE = re.compile(r"\.(step-(\d{8,}))\.old-[0-9a-f]+")


def step_folder_name(step: int) -> str:
    """`step-00001234`: sorts by name as by step."""
    return f"step-{step:08d}"


def weights_folder_name(step: int) -> str:
    """`weights-00001234`: what a run leaves that ended without room for a whole checkpoint."""
    return f"weights-{step:08d}"


def checkpoints_folder(run_dir: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return run_dir / FOLDER


def candidates(run_dir: Path) -> list[tuple[int, Path]]:
    """(step, folder) of everything that bears a checkpoint's name, newest first.

    A folder that stepped aside for a replacement counts while its replacement is missing.
    """
    found: dict[int, Path] = {}
    aside: dict[int, Path] = {}
    parent = checkpoints_folder(run_dir)
    if not parent.is_dir():
        return []
    for path in parent.iterdir():
        if match := _STEP.fullmatch(path.name):
            found[int(match[1])] = path
        elif match := _STEPPED_ASIDE.fullmatch(path.name):
            aside[int(match[2])] = path
    return sorted((aside | found).items(), reverse=True)


def weights_only(run_dir: Path) -> list[tuple[int, Path]]:
    """(step, folder) of what bears the name of weights alone, newest first."""
    parent = checkpoints_folder(run_dir)
    if not parent.is_dir():
        return []
    named = [(path, _WEIGHTS.fullmatch(path.name)) for path in parent.iterdir()]
    return sorted(((int(match[1]), path) for path, match in named if match), reverse=True)


def verify(folder: Path, *, hashes: bool = True) -> Manifest:
    """The manifest of a folder whose files all agree with it.

    Raises CheckpointError, one line naming file, expected and found.
    """
    manifest = read_manifest(folder)
    problem = first_problem(folder, manifest, hashes=hashes)
    if problem is not None:
        raise CheckpointError(f"{folder}: {problem}")
    return manifest


def refusal(step: int, folder: Path, *, hashes: bool = True) -> str | None:
    """Why a candidate cannot be used; None when it can."""
    try:
        manifest = verify(folder, hashes=hashes)
    except CheckpointError as error:
        return str(error)
    if manifest.step != step:
        said = f"its manifest says step {manifest.step}"
        return printable(f"{folder}: {said}; the folder was renamed")
    return None


def latest_valid(run_dir: Path, *, hashes: bool = True) -> tuple[Path | None, list[str]]:
    """The newest checkpoint of a run that verifies, and one line per newer one that does not.

    hashes: compare sha256 too, not only sizes.
    """
    refusals: list[str] = []
    for step, folder in candidates(run_dir):
        problem = refusal(step, folder, hashes=hashes)
        if problem is None:
            return folder, refusals
        refusals.append(problem)
    return None, refusals


def runs_here(root: Path = Path(FOLDER)) -> str:
    """The runs under `checkpoints/` of the current folder that have a checkpoint, newest first, in
    words for an error message."""
    folders = [parent for pattern in ("*", "*/*") for parent in root.glob(f"{pattern}/{FOLDER}")]
    newest = {parent.parent: parent.stat().st_mtime for parent in folders if parent.is_dir()}
    runs = sorted(
        (run for run in newest if candidates(run)), key=lambda run: newest[run], reverse=True
    )
    if not runs:
        return f"there are no runs under {root}"
    more = f" and {len(runs) - _MOST_RUNS} more" if len(runs) > _MOST_RUNS else ""
    return f"runs here: {', '.join(map(str, runs[:_MOST_RUNS]))}{more}"


def resolve(path: Path, *, hashes: bool = True) -> Path:
    """The checkpoint folder meant by `path`: itself, or the newest valid one of a run folder, be
    it of weights alone.

    Raises CheckpointError when there is nothing to use, saying what was found instead.
    """
    if not path.exists():
        raise CheckpointError(
            f"checkpoint {path} does not exist: give a run folder or one of its"
            f" {FOLDER}/{step_folder_name(0)[:5]}... folders; {runs_here()}"
        )
    if not path.is_dir():
        raise CheckpointError(
            f"checkpoint {path} is a file, a folder is needed: give the folder that holds it"
        )
    if (path / MANIFEST).exists() or _STEP.fullmatch(path.name):
        return path
    run_dir = path.parent if path.name == FOLDER else path
    newest, refusals = latest_valid(run_dir, hashes=hashes)
    for step, folder in weights_only(run_dir):
        newer = newest is None or step > read_manifest(newest).step
        if newer and refusal(step, folder, hashes=hashes) is None:
            newest = folder
            break
    if newest is not None:
        return newest
    if refusals:
        raise CheckpointError(
            f"no checkpoint of {run_dir} can be used ({len(refusals)} damaged),"
            f" newest: {refusals[0]}"
        )
    raise CheckpointError(
        f"{path} holds no checkpoint: expected {MANIFEST} (a checkpoint) or {FOLDER}/step-...,"
        " as a run writes them"
    )
