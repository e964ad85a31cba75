from __future__ import annotations

from collections.abc import Iterator

import pytest
from isolation import need_full_isolation

from rl_reason.sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One at full isolation."""
    need_full_isolation()
    with Sandbox() as started:
        yield started
