"""Carries a plan out: tensor by tensor, a few at a time, in bounded memory; finished ones are never done again.

Memory: for each thread at most HELD_BYTES of sources, or one block of each where a tensor is larger than that, and a
dozen blocks in float32 of 2 MB; beside these only what `measure` keeps.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rl_reason.errors import MergeError
from rl_reason.merging.blocks import Files, SourceTensors, rows_of
from rl_reason.merging.card import card
from rl_reason.merging.checkpoint import read_at
from rl_reason.merging.dtypes import STORED, narrowed
from rl_reason.merging.plan import Output, Plan
from rl_reason.merging.writer import ModelWriter, lay_out, nbytes

SHARD_BYTES = 5_000_000_000
_PIECE = 8 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def merge(
    plan: Plan,
    destination: Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    threads: int | None = None,
    on_progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Write the merged model.

    Args:
        plan: what to do.
        destination: a folder that does not exist yet.
        shard_bytes: the most that one weight file holds, but for a tensor that is larger.
        threads: tensors at a time; the number of processors if None, 8 at most.
        on_progress: is told the bytes of output that have been added, from any thread.

    Raises:
        MergeError: the destination is taken, the disk is full, a source is damaged.
    """
    fingerprint = plan.fingerprint()
    threads = threads or min(8, len(os.sched_getaffinity(0)))
    _keep_freed_memory()
    with (
        Files() as files,
        ModelWriter(destination, lay_out(plan.outputs, shard_bytes), fingerprint) as writer,
        ThreadPoolExecutor(threads) as pool,
    ):
        left = [output for output in plan.outputs if output.name not in writer.done]
        on_progress(sum(nbytes(output) for output in plan.outputs) - sum(nbytes(output) for output in left))
        for checkpoint in plan.checkpoints:
            for path in checkpoint.files:
                files.handle(path)
        left.sort(key=nbytes, reverse=True)  # no large one is left for the end, when the other threads are idle
        tasks = [pool.submit(_one, files, output, writer, on_progress) for output in left]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        if plan.fingerprint() != fingerprint:
            raise MergeError("a source model was changed while it was merged; call the same again, it begins anew")
        writer.finish(plan.config, plan.files, {**plan.texts, "README.md": card(plan)})


def _keep_freed_memory() -> None:
    """Ask the C library to keep up to 256 MB of freed memory for the next block: giving it back and getting it again,
    page by page, takes a third of dare's time. C libraries without such a setting do as they do.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for setting, value in ((_M_MMAP_THRESHOLD, 64 << 20), (_M_TRIM_THRESHOLD, 256 << 20)):
            mallopt(setting, value)


def _one(files: Files, output: Output, writer: ModelWriter, on_progress: Callable[[int], None]) -> None:
    if output.method is None:
        _copy(files, output, writer, on_progress)
    else:
        tensors = SourceTensors(files, output)
        measured = output.method.measure(tensors.blocks, output.settings)
        width = rows_of(output.shape)[1] * STORED[output.dtype].itemsize
        for block in tensors.last_blocks():
            merged = narrowed(output.method.merge(block, output.settings, measured), output.dtype)
            writer.write(output.name, block.start * width, merged.reshape(-1).view(np.uint8).data)
            on_progress(merged.nbytes)
    writer.finished(output.name)


def _copy(files: Files, output: Output, writer: ModelWriter, on_progress: Callable[[int], None]) -> None:
    tensor = output.models[0].tensor
    buffer = memoryview(bytearray(min(_PIECE, tensor.nbytes)))
    for at in range(0, tensor.nbytes, _PIECE):
        piece = buffer[: min(_PIECE, tensor.nbytes - at)]
        read_at(files.handle(tensor.path), piece, tensor.start + at, f"{tensor.path} ({tensor.name})")
        writer.write(output.name, at, piece)
        on_progress(len(piece))
