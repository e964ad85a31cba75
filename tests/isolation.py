"""Whether this host lets the sandbox isolate programs fully: for tests that need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rl_reason.sandbox import Level, missing
from rl_reason.sandbox.inside.kernel import CLONE_NEWNS, CLONE_NEWUSER


def need_full_isolation() -> None:
    """Skip on a host that refuses namespaces as such (a container's default, often); any other failure is a failure."""
    lacking = missing(Level.FULL)
    trial = f"import ctypes; raise SystemExit(ctypes.CDLL(None).unshare({CLONE_NEWUSER | CLONE_NEWNS}) != 0)"
    if lacking or subprocess.run([sys.executable, "-c", trial], check=False).returncode:
        pytest.skip(f"this host lacks {lacking or 'the right to make namespaces'}")
