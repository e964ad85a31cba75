"""The run folder: where everything of a run lies, who may write to it, and where it came from.

    RUN/
      resolved.yaml      the recipe with every default filled in
      provenance.json    versions, seeds, recipe hash, parents, every start
      metrics.jsonl      one line an iteration, all stages
      trajectories/      <stage>-000012.parquet, one file an iteration
      disagreements.jsonl  responses of which two compared verifiers think differently, where there are any
      stages/01-sft/     checkpoints/  model/  result.json (there once the stage is finished)
      stages/02-rl/      …
      scratch-model/     where the recipe builds its first model from nothing
      checkpoints        link to the checkpoints of the stage that ran last
      model              link to the model of the stage that finished last
      report.html
      .lock              held by the process that writes to the folder

The links are relative: a run folder may be moved or copied.
"""

from __future__ import annotations

import difflib
import errno
import fcntl
import hashlib
import logging
import os
import platform
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rl_reason.errors import CheckpointError, ConfigError, RlReasonError
from rl_reason.tracking.atomic import (
    KEPT,
    folder_written_whole,
    fsync_folder,
    full_disk_named,
    read_json,
    sweep,
    write_json_atomic,
    write_text_atomic,
)
from rl_reason.tracking.provenance import describe_environment

log = logging.getLogger(__name__)

_STAGE_NAME = re.compile(r"(\d{2,})-([A-Za-z0-9_.-]+)")
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_locked_here: set[Path] = set()
"""POSIX locks do not exclude a second holder in the same process; this does."""


class StageFolder:
    """One stage's part of a run folder: `stages/<number>-<name>/`."""

    def __init__(self, path: Path) -> None:
        match = _STAGE_NAME.fullmatch(path.name)
        if match is None:
            raise RlReasonError(f"{path} is not a stage's folder: its name should look like `02-rl`")
        self.path = path
        self.number = int(match[1])
        self.name = match[2]
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.result_file = path / "result.json"

    @property
    def label(self) -> str:
        """`02-rl`: unique in the run; the `stage` of its metrics and trajectories."""
        return self.path.name

    def finished(self) -> bool:
        """Whether the stage ran to its end in this or an earlier start."""
        return self.result_file.exists()

    def result(self) -> Mapping[str, Any]:
        """What `finish` wrote.

        Raises:
            CheckpointError: not finished, or the file is damaged.
        """
        return read_json(self.result_file)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`: from now on the stage is skipped. Keys that the report knows: `reports/read.py`."""
        write_json_atomic(self.result_file, dict(result))

    @contextmanager
    def model_written_whole(self) -> Iterator[Path]:
        """Yield an empty folder that becomes `model/` when the block ends without an error."""
        with folder_written_whole(self.model) as folder:
            yield folder


class RunFolder:
    """The layout above. Makes nothing until `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.resolved = path / "resolved.yaml"
        self.provenance = path / "provenance.json"
        self.metrics = path / "metrics.jsonl"
        self.trajectories = path / "trajectories"
        self.disagreements = path / "disagreements.jsonl"
        self.stages_folder = path / "stages"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.report = path / "report.html"
        self.scratch_model = path / "scratch-model"
        self.lock_file = path / ".lock"

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.resolved.exists()

    def create(self) -> None:
        """Make the folders; a run folder that is there already is left as it is.

        Raises:
            ConfigError: the path is a file, or a folder with other things in it, or cannot be written to.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"--out {self.path} is a file; give a folder that is new, empty, or an earlier run's")
        if self.path.is_dir() and not self.lock_file.exists() and not self.exists():
            others = sorted(entry.name for entry in self.path.iterdir())
            if others:
                raise ConfigError(
                    f"--out {self.path} holds other things ({', '.join(others[:5])}) and no run; "
                    "give a folder that is new, empty, or an earlier run's"
                )
        try:
            with full_disk_named(str(self.path), _nearest(self.path)):
                self.trajectories.mkdir(parents=True, exist_ok=True)
                self.stages_folder.mkdir(exist_ok=True)
                self.lock_file.touch()
        except OSError as error:
            raise ConfigError(
                f"--out {self.path} cannot be written to ({error.strerror}: {error.filename}); give another folder"
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep any second driver out for as long as the block runs; the kernel lets go when this process dies.

        A POSIX record lock: unlike flock it is not inherited by forked workers, so orphans of a killed driver
        cannot keep its run folder locked.

        Raises:
            RlReasonError: another process has it; the message names its pid, host and start.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        key = self.path.resolve()
        if key in _locked_here:
            raise RlReasonError(f"run folder {self.path} is already in use by this process (pid {os.getpid()})")
        with self.lock_file.open("a+", encoding="utf-8") as file:
            self._take(file.fileno())
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
            file.truncate(0)
            file.write(" ".join(f"{name}={value}" for name, value in holder.items()))
            file.flush()
            _locked_here.add(key)
            try:
                sweep(self.path)
                yield
            finally:
                _locked_here.discard(key)

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                log.warning("the file system of %s has no locks: see to it that one process uses it", self.path)
                return
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            holder = self.lock_file.read_text(encoding="utf-8").strip() or "a process that has not named itself"
            raise RlReasonError(
                f"run folder {self.path} is in use by {holder}. Wait for it, stop it (SIGTERM checkpoints and exits), "
                "or give another folder with --out."
            ) from error

    def write_resolved(self, text: str) -> None:
        """Write `resolved.yaml`, or check that a resumed run still has the same recipe.

        Another recipe is taken where the earlier one came to nothing, as when its data was refused.

        Raises:
            ConfigError: the recipe differs from the one that this folder was begun with; the differing lines are shown.
        """
        if self.exists():
            before = self.resolved.read_text(encoding="utf-8")
            if before == text:
                return
            if self._came_to_nothing():
                log.warning(
                    "%s: the recipe has changed, and nothing was done by the earlier one: begun anew", self.path
                )
                shutil.rmtree(self.scratch_model, ignore_errors=True)
                shutil.rmtree(self.stages_folder)
                self.stages_folder.mkdir()
                write_text_atomic(self.resolved, text)
                return
            changed = [
                line
                for line in difflib.unified_diff(before.splitlines(), text.splitlines(), n=0, lineterm="")
                if not line.startswith(("---", "+++", "@@"))
            ]
            raise ConfigError(
                f"{self.path} was begun with another recipe. Lines that differ (- then, + now):\n"
                + "\n".join(f"  {line}" for line in changed[:20])
                + "\nGive another folder with --out, or the recipe as it was."
            )
        write_text_atomic(self.resolved, text)

    def _came_to_nothing(self) -> bool:
        """No line of metrics, no checkpoint, no model, no result."""
        written = self.metrics.exists() and self.metrics.stat().st_size > 0
        return not written and not any(path.is_file() for path in self.stages_folder.rglob("*"))

    def record_start(self, *, recipe: str, seeds: Mapping[str, int], parents: Sequence[Path]) -> None:
        """Write `provenance.json`, or add this start to it (a resumed run may run elsewhere, on other versions).

        `recipe` is the resolved recipe's text, `parents` the models and data that the run starts from.
        """
        start = {"at": _now(), "host": platform.node(), "pid": os.getpid()} | describe_environment()
        earlier: list[Mapping[str, Any]] = read_json(self.provenance)["starts"] if self.provenance.exists() else []
        facts: dict[str, Any] = {
            "recipe_sha256": hashlib.sha256(recipe.encode()).hexdigest(),
            "seeds": dict(seeds),
            "parents": [str(parent) for parent in parents],
        }
        write_json_atomic(self.provenance, facts | {"starts": [*earlier, start]})

    def stage(self, number: int, name: str) -> StageFolder:
        """The folder of stage `number` (from 1), made when it is not there; clears what a killed process left in it."""
        stage = StageFolder(self.stages_folder / f"{number:02d}-{name}")
        with full_disk_named(str(stage.path), self.path):
            stage.checkpoints.mkdir(parents=True, exist_ok=True)
            sweep(stage.path)
        return stage

    def stages(self) -> list[StageFolder]:
        """Stages begun so far, in order."""
        if not self.stages_folder.is_dir():
            return []
        found = (StageFolder(path) for path in self.stages_folder.iterdir() if _STAGE_NAME.fullmatch(path.name))
        return sorted(found, key=lambda stage: (stage.number, stage.name))

    def link_to(self, stage: StageFolder) -> None:
        """Point `checkpoints`, and `model` once it is there, at those of `stage`."""
        _link(self.checkpoints, stage.checkpoints)
        if stage.model.exists():
            _link(self.model, stage.model)


def _link(link: Path, target: Path) -> None:
    temporary = link.parent / f".tmp-{link.name}-{os.getpid()}"
    with full_disk_named(str(link), link.parent, KEPT):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(target, link.parent))
        if link.is_dir() and not link.is_symlink():
            raise CheckpointError(f"{link} should be a link of ours but is a folder: move it out of the run folder")
        temporary.replace(link)
        fsync_folder(link.parent)


def _nearest(path: Path) -> Path:
    return next(parent for parent in [path, *path.absolute().parents] if parent.exists())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
