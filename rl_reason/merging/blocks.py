"""A tensor of several sources, in aligned blocks of whole rows, read with bounded memory."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from rl_reason.errors import MergeError
from rl_reason.merging.checkpoint import Tensor, read_at
from rl_reason.merging.dtypes import STORED, Raw, widened
from rl_reason.merging.methods.method import F32, Block
from rl_reason.merging.plan import Output, Source

BLOCK = 1 << 18
"""Elements of a block, unless one row has more: what a core's cache holds of a few arrays. The cut is a function of the
tensor's shape alone, as random masks are drawn by block.
"""
HELD_BYTES = 96 << 20
"""A tensor whose sources have fewer bytes than this together is read once; a larger one anew in each pass."""


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
        if sum(source.tensor.nbytes for source in output.sources) <= HELD_BYTES:
            self._held = {k: self._rows(source, 0, rows_of(output.shape)[0]) for k, source in enumerate(output.sources)}

    def blocks(self, only: int | None = None) -> Iterator[Block]:
        """One pass, over all models or one."""
        output = self._output
        rows, width = rows_of(output.shape)
        step = max(1, BLOCK // width)
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            models = [
                self._values(number, source, start, stop)
                for number, source in enumerate(output.models)
                if only in (None, number)
            ]
            base = self._values(len(output.models), output.base, start, stop) if output.base is not None else None
            yield Block(tuple(models), base, start, output.shape)

    def _values(self, number: int, source: Source, start: int, stop: int) -> F32:
        raw = self._held[number][start:stop] if number in self._held else self._rows(source, start, stop)
        return widened(raw, source.tensor.dtype)

    def _rows(self, source: Source, start: int, stop: int) -> Raw:
        width = rows_of(source.tensor.shape)[1]
        found = np.empty((stop - start, width), STORED[source.tensor.dtype])
        if source.rows is None:
            self._read(source.tensor, start, found)
        else:
            wanted = source.rows[start:stop]
            breaks = np.flatnonzero(np.abs(np.diff(wanted)) != 1) + 1  # runs of rows that follow each other
            for begin, end in itertools.pairwise((0, *breaks.tolist(), len(wanted))):
                self._read_run(source, wanted[begin:end], found[begin:end])
        return found[:, 0] if len(self._output.shape) < 2 else found

    def _read_run(self, source: Source, wanted: NDArray[np.int64], into: Raw) -> None:
        own = bool(wanted[0] >= 0)
        first = int(wanted[0] if own else -1 - wanted[0])
        if (len(wanted) > 1 and (wanted[1] > wanted[0]) != own) or (wanted[-1] >= 0) != own:  # runs the other way
            for place in range(len(wanted)):
                self._read_run(source, wanted[place : place + 1], into[place : place + 1])
            return
        assert own or source.absent is not None
        self._read(source.tensor if own else source.absent, first, into)

    def _read(self, tensor: Tensor | None, row: int, into: Raw) -> None:
        assert tensor is not None and STORED[tensor.dtype] == into.dtype
        offset = tensor.start + row * into.shape[1] * into.itemsize
        read_at(self._files.handle(tensor.path), _bytes(into), offset, f"{tensor.path} ({tensor.name})")


def rows_of(shape: Sequence[int]) -> tuple[int, int]:
    """(rows, elements of a row); a vector has rows of one element, and is a single block whenever it is short."""
    if not shape:
        return 1, 1
    return shape[0], math.prod(shape[1:])


def _bytes(array: Raw) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
