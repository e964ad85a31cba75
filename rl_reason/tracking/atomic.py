"""Files and folders that appear whole or not at all, and errors that name a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from rl_reason.errors import CheckpointError, RlReasonError

TEMPORARY = ".tmp-"
"""Names that begin so are unfinished and may be deleted by whoever holds the run folder's lock."""
RETIRED = ".old-"
"""A folder on its way out while its successor is renamed into place; put back when the successor never came."""

KEPT = "what was written before, the last checkpoint included, is good"
"""What a message about a full disk promises; every writer here leaves the old content alone until the new is whole."""

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_MARKERS = ("inline_container.cc", "PytorchStreamWriter", "No space left", "File too large", "quota exceeded")
"""torch.save and safetensors report a full disk without an errno; these are the words they use (seen on tmpfs)."""


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: a reader, or a crash at any moment, sees the old file or the new one.

    Raises:
        CheckpointError: the disk is full.
    """
    temporary = path.parent / f"{TEMPORARY}{path.name}-{os.getpid()}"
    with full_disk_named(str(path), path.parent):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)


def write_text_atomic(path: Path, text: str) -> None:
    """`write_bytes_atomic` for UTF-8 text. Halves of characters, as paths that are not UTF-8 have, become `\\udcff`."""
    write_bytes_atomic(path, text.encode("utf-8", "backslashreplace"))


def write_json_atomic(path: Path, value: Any) -> None:
    """`write_bytes_atomic` for JSON, indented, keys in the given order."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make a file's content survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Every file and folder below `folder`, and itself."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            fsync_file(Path(parent, name))
        fsync_folder(Path(parent))


@contextmanager
def folder_written_whole(target: Path, *, kept: str = KEPT) -> Iterator[Path]:
    """Yield an empty folder to fill; on leaving without an error it becomes `target`, replacing an older one.

    On an error the unfinished folder is deleted and `target` is untouched.

    Raises:
        CheckpointError: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{TEMPORARY}{target.name}-{os.getpid()}"
    with full_disk_named(str(target), target.parent, kept):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            yield temporary
            fsync_tree(temporary)
            replace_folder(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(source: Path, target: Path) -> None:
    """Rename `source` to `target`. A crash between the two renames is mended by `sweep`."""
    retired = target.parent / f"{RETIRED}{target.name}"
    shutil.rmtree(retired, ignore_errors=True)
    if target.exists():
        target.rename(retired)
    source.rename(target)
    fsync_folder(target.parent)
    shutil.rmtree(retired, ignore_errors=True)


def sweep(folder: Path) -> list[str]:
    """Delete what a killed process left unfinished in `folder`; returns the names. Only under the run folder's lock."""
    swept: list[str] = []
    for leftover in sorted(folder.glob(f"{TEMPORARY}*")) + sorted(folder.glob(f"{RETIRED}*")):
        original = folder / leftover.name.removeprefix(RETIRED)
        if leftover.name.startswith(RETIRED) and not original.exists():
            leftover.rename(original)
        elif leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
        swept.append(leftover.name)
    return swept


@contextmanager
def full_disk_named(what: str, folder: Path, kept: str = KEPT) -> Iterator[None]:
    """Turn the many shapes of "no space left" into one message: what, where, how much is free, what was kept.

    `what` is the thing being written, `folder` any folder of the same file system, `kept` what the user still has.

    Raises:
        CheckpointError: the disk (or quota, or file size limit) is full.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if isinstance(error, RlReasonError) or not _says_full(error):
            raise
        free_mb = shutil.disk_usage(folder).free / 1e6
        raise CheckpointError(
            f"could not write {what}: no space left ({error}). {free_mb:.1f} MB are free under {folder}; {kept}. "
            "Free some space (or lift the quota) and run the same command again: it continues from there."
        ) from error


def _says_full(error: OSError | RuntimeError | SafetensorError) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL_ERRNOS
    return any(marker in str(error) for marker in _FULL_MARKERS)


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object from a file of ours.

    Raises:
        CheckpointError: not readable as a JSON object; the message names the file.
    """
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {type(value).__name__}, expected a JSON object")
    return value  # pyright: ignore[reportUnknownVariableType]
