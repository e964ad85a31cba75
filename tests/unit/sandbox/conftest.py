from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from rl_reason.sandbox import Level, Sandbox, missing
from rl_reason.sandbox.inside.kernel import CLONE_NEWNS, CLONE_NEWUSER


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One at full isolation; skipped on a host that refuses namespaces as such (a container's default, often)."""
    lacking = missing(Level.FULL)
    trial = f"import ctypes; raise SystemExit(ctypes.CDLL(None).unshare({CLONE_NEWUSER | CLONE_NEWNS}) != 0)"
    if lacking or subprocess.run([sys.executable, "-c", trial], check=False).returncode:
        pytest.skip(f"this host lacks {lacking or 'the right to make namespaces'}")
    with Sandbox() as started:
        yield started
