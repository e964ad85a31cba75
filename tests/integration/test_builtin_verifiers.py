"""Every installed verifier keeps the contract of verifiers; one that comes later is covered by being registered."""

from __future__ import annotations

import pytest

from rl_reason.errors import PluginError
from rl_reason.plugins import VERIFIERS, available, load
from rl_reason.rewards.card import card_of
from rl_reason.rewards.contract import Limits, check_contract
from rl_reason.rewards.pool import VerifierSpec


def usable() -> list[str]:
    """Names of the verifiers that can be imported here and whose needs are met."""
    names: list[str] = []
    for plugin in available(VERIFIERS):
        try:
            load(VERIFIERS, plugin.value)
        except PluginError:
            continue
        names += [] if card_of(plugin.name).fault else [plugin.name]
    return names


def test_the_built_in_verifiers_are_among_them() -> None:
    built_in = {plugin.name for plugin in available(VERIFIERS) if plugin.distribution == "rl-reason"}
    # prime_intellect needs a package that we do not depend on.
    assert built_in - {"prime_intellect"} <= set(usable()) and len(built_in) >= 11


@pytest.mark.parametrize("name", usable())
def test_it_keeps_the_contract(name: str) -> None:
    report = check_contract(VerifierSpec(name, name), limits=Limits(deadline_s=10.0, growth_calls=300))
    assert report.passed, "\n".join(f"{f.check}: {f.seen} on {f.case}" for f in report.failures[:10])
    assert sum(report.verdicts.values()) == report.inputs > 250
