"""Starts a learner script as one process a rank, and compares weights."""

import os
import subprocess
import sys

import torch

DEADLINE_S = 300


def run_ranks(process, folder, world_size):
    """All ranks of one size, started together; their results in order."""
    (folder / "rendezvous").unlink(missing_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(process), str(folder), str(rank), str(world_size)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]
    try:
        outputs = [each.communicate(timeout=DEADLINE_S)[0] for each in processes]
    finally:
        for each in processes:
            each.kill()
    for each, output in zip(processes, outputs, strict=True):
        assert each.returncode == 0, output[-4000:]
    return [torch.load(folder / f"results_{rank}_of_{world_size}.pt", weights_only=False) for rank in range(world_size)]


def largest_difference(one, other):
    """Of two sets of weights with the same names."""
    assert one.keys() == other.keys()
    return max((one[name].float() - other[name].float()).abs().max().item() for name in one)
