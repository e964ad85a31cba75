"""What a key of the recipe means: type, bounds, default and sentence, straight from the schema."""

from __future__ import annotations

import difflib

from rl_reason.config.check import first_sentence
from rl_reason.config.knobs import Knob, knobs
from rl_reason.errors import ConfigError


def explain_key(key: str) -> str:
    """A few lines on one key, or on a block and the keys in it; the empty string is the whole recipe.

    List positions may be given (`stages.1.rl.loss.tau`), and leading parts left out where that is unambiguous (`tau`).

    Raises:
        ConfigError: no such key; the message has the nearest ones.
    """
    wanted = ".".join(part for part in key.split(".") if part and not part.isdigit())
    if not wanted:
        return "\n".join(["A recipe has these keys:", *_keys_of("")])
    knob = knobs().get(wanted) or _by_ending(wanted)
    lines = [knob.key, f"    {knob.text}"]
    if knob.is_section:
        return "\n".join([*lines, *_keys_of(knob.key + ".")])
    lines.append(f"    type:    {knob.type}")
    if knob.bounds:
        lines.append(f"    bounds:  {knob.bounds}")
    lines.append(f"    default: {knob.default}")
    return "\n".join(lines)


def _keys_of(prefix: str) -> list[str]:
    inside = [knob for knob in knobs().values() if knob.key.startswith(prefix) and "." not in knob.key[len(prefix) :]]
    width = max(len(knob.key) for knob in inside)
    return [f"  {knob.key:<{width}}  {first_sentence(knob.text)}" for knob in inside]


def _by_ending(wanted: str) -> Knob:
    """The only key that ends in these words."""
    found = [knob for knob in knobs().values() if knob.key.endswith("." + wanted)]
    if len(found) == 1:
        return found[0]
    near = [knob.key for knob in found] or _nearest(wanted)
    kind = "several keys end in that" if found else "no such key"
    raise ConfigError(f"{wanted}: {kind}. " + ("Did you mean " + ", ".join(near[:6]) + "?" if near else _top_level()))


def _nearest(wanted: str) -> list[str]:
    """Keys that look alike, whole or in their last word."""
    whole = difflib.get_close_matches(wanted, list(knobs()), n=3, cutoff=0.7)
    last = wanted.split(".")[-1]
    by_last: dict[str, list[str]] = {}
    for key in knobs():
        by_last.setdefault(key.split(".")[-1], []).append(key)
    ends = [key for word in difflib.get_close_matches(last, list(by_last), n=2, cutoff=0.7) for key in by_last[word]]
    return list(dict.fromkeys([*whole, *ends]))


def _top_level() -> str:
    return "At the top there are " + ", ".join(key for key in knobs() if "." not in key) + "."
