"""A Ray session: joins a running cluster, or starts one on this machine that ends with the driver."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from rl_reason.errors import ConfigError

LOGS = "/tmp/ray/session_latest/logs"
"""Where Ray keeps its actors' output, on the node of each."""


@contextmanager
def ray_session(address: str | None = None, *, gpus_needed: int = 0) -> Iterator[str]:
    """Within the context Ray is up; yields the folder of its logs.

    Args:
        address: of a running cluster (`auto`, `ray://host:port`); None starts a local one.
        gpus_needed: GPUs that the actors to come will ask for.

    Raises:
        ConfigError: no cluster answers at the address, or it has too few GPUs: Ray would wait for them forever.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Actors that ask for no GPU see none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    try:
        ray.init(
            address=address,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        raise ConfigError(
            f"cluster.address: no Ray cluster answers at {address!r} ({error}); start one with `ray start --head`, "
            "or set cluster.address to null for a local one"
        ) from error
    try:
        require_gpus(gpus_needed)
        yield LOGS
    finally:
        ray.shutdown()


def require_gpus(needed: int) -> None:
    """Raises: ConfigError when the cluster has fewer: Ray would wait for them without a word."""
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if gpus < needed:
        raise ConfigError(
            f"the recipe's engines and learner ranks need {needed} GPUs, the cluster has {gpus}; lower "
            "engine.count, engine.tensor_parallel or learner.ranks, or add nodes"
        )
