"""The checkpoint store: atomic folders with a manifest and checksums; the newest whole one is found again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_reason.errors import CheckpointError
from rl_reason.tracking.atomic import TEMPORARY, folder_written_whole, fsync_folder, read_json, sweep

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
STATE = "state.json"
_FORMAT = 1
_HASH_THREADS = 8
_NAME = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True, slots=True)
class Damage:
    """A checkpoint that cannot be trusted, and why."""

    folder: Path
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.folder.name}: {'; '.join(self.problems)}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint: every file is there with the size and checksum of its manifest."""

    step: int
    """Iterations finished when it was written."""
    path: Path
    """The folder with what the `write` callable of `save` put there."""
    state: Mapping[str, Any]
    """What was given to `save` as `state`."""
    damaged: tuple[Damage, ...] = ()
    """Newer ones that had to be passed over."""


class CheckpointStore:
    """The checkpoints of one stage, as `step-000012/` folders. One process at a time (`RunFolder.lock`)."""

    def __init__(self, folder: Path, keep: int) -> None:
        """`keep` >= 1: how many of the newest to keep. Two or more survive a damaged one."""
        if keep < 1:
            raise CheckpointError(f"{folder}: cannot keep {keep} checkpoints, at least 1 is needed to continue a run")
        self.folder = folder
        self.keep = keep

    def save(self, step: int, write: Callable[[Path], None], state: Mapping[str, Any]) -> Path:
        """Write checkpoint `step`: `write(folder)` fills an empty folder; `state` (JSON) goes beside it.

        The checkpoint appears under its name only when whole and on disk; then the oldest beyond `keep` go.

        Raises:
            CheckpointError: the disk is full; the checkpoints there before are untouched.
        """
        target = self.folder / f"step-{step:06d}"
        _prepare(self.folder)
        present = self._present()
        kept = f"the last checkpoint, {present[-1][1].name}, is good" if present else "there is no earlier checkpoint"
        with folder_written_whole(target, kept=kept) as temporary:
            write(temporary)
            if (temporary / STATE).exists() or (temporary / MANIFEST).exists():
                raise CheckpointError(f"a checkpoint's {STATE} and {MANIFEST} are the store's: write under other names")
            (temporary / STATE).write_text(json.dumps(dict(state), indent=1), encoding="utf-8")
            (temporary / MANIFEST).write_text(json.dumps(_manifest(step, temporary), indent=1), encoding="utf-8")
        self._prune(step)
        return target

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; None when there is none at all. Damaged newer ones are named in a warning.

        Raises:
            CheckpointError: there are checkpoints and all of them are damaged; the message lists what is wrong.
        """
        _prepare(self.folder)
        damaged: list[Damage] = []
        for step, folder in reversed(self._present()):
            problems = find_damage(folder, step)
            if not problems:
                return Checkpoint(step, folder, read_json(folder / STATE), tuple(damaged))
            damaged.append(Damage(folder, tuple(problems)))
            log.warning("checkpoint %s is damaged and is passed over (%s)", folder, "; ".join(problems))
        if damaged:
            listed = "\n".join(f"  {damage}" for damage in damaged)
            raise CheckpointError(
                f"all {len(damaged)} checkpoints in {self.folder} are damaged:\n{listed}\n"
                f"Restore one from a backup, or delete {self.folder} to begin this stage anew."
            )
        return None

    def _present(self) -> list[tuple[int, Path]]:
        matches = [(_NAME.fullmatch(folder.name), folder) for folder in self.folder.iterdir()]
        return sorted((int(match[1]), folder) for match, folder in matches if match and folder.is_dir())

    def _prune(self, saved: int) -> None:
        """Keep `saved` and the newest before it. A later step can only be one that resuming passed over as damaged."""
        steps = self._present()
        older = [folder for step, folder in steps if step < saved]
        later = [folder for step, folder in steps if step > saved]
        for folder in later:
            log.warning("deleting %s: the run went back to before it and has now saved step %d", folder, saved)
        for folder in later + older[: max(0, len(older) - (self.keep - 1))]:
            # Renamed first, so that a crash half-way through deleting leaves no checkpoint that looks damaged.
            doomed = folder.parent / f"{TEMPORARY}delete-{folder.name}"
            folder.rename(doomed)
            shutil.rmtree(doomed)
        fsync_folder(self.folder)


def _prepare(folder: Path) -> None:
    """Create the store's folder, or clear away what a killed process left unfinished in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sweep(folder):
        log.info("cleared %s, left unfinished in %s by an earlier process", name, folder)


def find_damage(folder: Path, step: int) -> list[str]:
    """What is wrong with one checkpoint; empty when whole. Sizes are compared before any file is read."""
    try:
        manifest = read_json(folder / MANIFEST)
    except CheckpointError as error:
        return [str(error)]
    if manifest.get("digest") != _digest_of(manifest):
        return [f"{MANIFEST} does not match its own checksum"]
    if manifest["format"] != _FORMAT:
        return [f"{MANIFEST} has format {manifest['format']}, this version reads {_FORMAT}"]
    if manifest["step"] != step:
        return [f"{MANIFEST} is of step {manifest['step']}"]
    wanted: Mapping[str, Mapping[str, Any]] = manifest["files"]
    present = {str(path.relative_to(folder)): path for path in _files(folder) if path != folder / MANIFEST}
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - present.keys())]
    problems += [f"{name} is not in the manifest" for name in sorted(present.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & present.keys()):
        size = present[name].stat().st_size
        if size != wanted[name]["bytes"]:
            problems.append(f"{name} has {size} bytes, not {wanted[name]['bytes']}")
    if problems:
        return problems
    try:
        sums = _checksums(present)
    except OSError as error:
        return [f"cannot be read: {error}"]
    return [f"{name} has changed since it was written" for name in sorted(sums) if sums[name] != wanted[name]["sha256"]]


def _manifest(step: int, folder: Path) -> dict[str, Any]:
    files = {str(path.relative_to(folder)): path for path in _files(folder)}
    sums = _checksums(files)
    described = {name: {"bytes": path.stat().st_size, "sha256": sums[name]} for name, path in sorted(files.items())}
    manifest: dict[str, Any] = {"format": _FORMAT, "step": step, "files": described}
    return manifest | {"digest": _digest_of(manifest)}


def _digest_of(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]


def _checksums(files: Mapping[str, Path]) -> dict[str, str]:
    """sha256 of each file, several at once: hashing releases the GIL (1.4 GB/s a core here)."""
    with ThreadPoolExecutor(max_workers=_HASH_THREADS) as pool:
        return dict(zip(files, pool.map(_checksum, files.values()), strict=True))


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
