"""Files and folders that are either there as a whole or not at all, even when the power goes.

The recipe is always the same: write beside the target under a temporary name, fsync, rename,
fsync the parent folder (a rename is durable only once the folder that holds the name is).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

# Some network file systems refuse fsync on a folder; there is nothing better to call there.
_FOLDER_SYNC_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}


def fsync_path(path: Path) -> None:
    """Make the contents of a file, or the names inside a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _FOLDER_SYNC_UNSUPPORTED or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and fsync it. The name must not exist yet."""
    with open(path, "xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Give `path` new contents in one step: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    fsync_path(path.parent)


def commit_folder(temporary: Path, target: Path) -> None:
    """Rename a finished folder to its name; an older folder of that name is kept until then.

    Folders cannot be exchanged in one step everywhere, so the older one steps aside under
    `.NAME.old-XXXX` first. Discovery accepts that name while NAME is missing, hence a kill
    between the two renames loses nothing.
    """
    fsync_path(temporary)
    aside = target.with_name(f".{target.name}.old-{secrets.token_hex(4)}")
    replaces = target.exists()
    if replaces:
        os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except BaseException:
        if replaces:
            os.rename(aside, target)
        raise
    fsync_path(target.parent)
    if replaces:
        # The new folder stands; what cannot be deleted now is deleted at the next start.
        with contextlib.suppress(OSError):
            remove_folder(aside, marker="manifest.json")


def remove_folder(folder: Path, *, marker: str) -> None:
    """Delete a folder so that no half-deleted one ever bears a valid name.

    It is renamed out of the way, then loses `marker` (what makes it valid), then the rest.
    """
    if folder.is_symlink():
        # What it leads to is somebody else's.
        folder.unlink()
        return
    trash = folder
    if not folder.name.startswith("."):
        trash = folder.with_name(f".{folder.name}.trash-{secrets.token_hex(4)}")
        os.rename(folder, trash)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(trash / marker)
    shutil.rmtree(trash)
