"""A tensor of several sources, in aligned blocks of whole rows, read with bounded memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from rl_reason.errors import MergeError
from rl_reason.merging.checkpoint import Tensor, read_at
from rl_reason.merging.dtypes import STORED, Raw, widened
from rl_reason.merging.methods.method import F32, Block
from rl_reason.merging.plan import Output, Rows, Source

BLOCK = 1 << 19
"""Elements of a block, unless one row has more. Smaller ones have threads wait for the interpreter between calls (1.6
times as long at a quarter of this), larger ones leave the caches. The cut is a function of the tensor's shape alone, as
random masks are drawn by block.
"""
HELD_BYTES = 96 << 20
"""A tensor whose sources have fewer bytes than this together is read once for several passes, a larger one in each."""


class Files:
    """Open weight files, by path. A context manager."""

    def __init__(self) -> None:
        self._handles: dict[Path, int] = {}

    def handle(self, path: Path) -> int:
        """The descriptor, opened at the first use."""
        if path not in self._handles:
            try:
                self._handles[path] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise MergeError(f"cannot read {path}: {error.strerror}") from error
        return self._handles[path]

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles.values():
            os.close(handle)


class SourceTensors:
    """Goes over the sources of one output, as often as it is asked to."""

    def __init__(self, files: Files, output: Output) -> None:
        self._files, self._output = files, output
        self._held: dict[int, Raw] = {}
        self._padding: dict[int, F32] = {}
        """Source -> the row that its vocabulary is padded with."""
        rows = rows_of(output.shape)[0]
        for number, source in enumerate(output.sources):
            if source.rows is not None and source.padding:
                self._padding[number] = self._mean(source.rows, rows - source.padding)

    def blocks(self, only: int | None = None) -> Iterator[Block]:
        """One pass of several, over all models or one."""
        if not self._held and sum(source.tensor.nbytes for source in self._output.sources) <= HELD_BYTES:
            whole = {k: one.tensor for k, one in enumerate(self._output.sources) if one.rows is None}
            self._held = {k: self._read(tensor, 0, rows_of(tensor.shape)[0]) for k, tensor in whole.items()}
        return self.last_blocks(only)

    def last_blocks(self, only: int | None = None) -> Iterator[Block]:
        """As `blocks`, when no pass follows: what is not held yet is read block by block, and stays in the cache."""
        output = self._output
        for start, stop in self._cuts(rows_of(output.shape)[0]):
            models = [
                self._values(number, source, start, stop)
                for number, source in enumerate(output.models)
                if only in (None, number)
            ]
            base = self._values(len(output.models), output.base, start, stop) if output.base is not None else None
            yield Block(tuple(models), base, start, output.shape)

    def _cuts(self, rows: int) -> Iterator[tuple[int, int]]:
        step = max(1, BLOCK // rows_of(self._output.shape)[1])
        return ((start, min(rows, start + step)) for start in range(0, rows, step))

    def _values(self, number: int, source: Source, start: int, stop: int) -> F32:
        if source.rows is not None:
            found = self._picked(source.rows, start, stop)
            if number in self._padding:
                found[max(0, rows_of(self._output.shape)[0] - source.padding - start) :] = self._padding[number]
            return found
        raw = self._held[number][start:stop] if number in self._held else self._read(source.tensor, start, stop)
        return widened(raw[:, 0] if len(self._output.shape) < 2 else raw, source.tensor.dtype)

    def _picked(self, rows: Sequence[Rows], start: int, stop: int) -> F32:
        """The mean of what each has."""
        total = np.zeros((stop - start, rows_of(self._output.shape)[1]), np.float32)
        count = np.zeros((stop - start, 1), np.float32)
        for one in rows:
            wanted = one.at[start:stop]
            there = np.flatnonzero(wanted >= 0)
            breaks = np.flatnonzero((np.diff(wanted[there]) != 1) | (np.diff(there) != 1)) + 1
            for run in np.split(there, breaks) if len(there) else ():  # rows that follow each other, on both sides
                first = int(wanted[run[0]])
                total[run[0] : run[-1] + 1] += widened(
                    self._read(one.tensor, first, first + len(run)), one.tensor.dtype
                )
            count[there] += 1
        total /= np.maximum(count, 1)
        return total

    def _mean(self, rows: Sequence[Rows], count: int) -> F32:
        total = np.zeros(rows_of(self._output.shape)[1], np.float64)
        for start, stop in self._cuts(count):
            total += self._picked(rows, start, stop).sum(0, dtype=np.float64)
        return (total / count).astype(np.float32)  # [elements of a row]

    def _read(self, tensor: Tensor, start: int, stop: int) -> Raw:
        """Rows [stop - start, elements of a row]."""
        found = np.empty((stop - start, rows_of(tensor.shape)[1]), STORED[tensor.dtype])
        offset = tensor.start + start * found.shape[1] * found.itemsize
        data = found.reshape(-1).view(np.uint8).data
        read_at(self._files.handle(tensor.path), data, offset, f"{tensor.path} ({tensor.name})")
        return found


def rows_of(shape: Sequence[int]) -> tuple[int, int]:
    """(rows, elements of a row); a vector has rows of one element, and is a single block whenever it is short."""
    if not shape:
        return 1, 1
    return shape[0], math.prod(shape[1:])
