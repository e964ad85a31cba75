"""A merge recipe: mergekit's YAML as it is, with the values that parameters.py adds; the rest is refused by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_reason.config.document import Document, Location, dotted, read_document
from rl_reason.errors import ConfigError
from rl_reason.merging.dtypes import NAMES
from rl_reason.merging.methods import METHODS
from rl_reason.merging.methods.method import Method, Parameter
from rl_reason.merging.parameters import Value, value

_TOP = (
    "merge_method",
    "models",
    "slices",
    "base_model",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    "name",
)
_NOT_YET = {"modules": "merging several modules of one model"}
_NO_EFFECT = {"int8_mask"}
"""mergekit's parameters that change only how it works, not what comes out."""
_ELSEWHERE = {name for method in METHODS.values() for name in (*method.per_model, *method.overall)} | {
    "filter_wise",
    "eps",
}
"""Parameters of some method: mergekit lets them stand, without effect, at methods that have no such parameter."""
_ONLY = {
    ("ties", "rescale"): False,
    ("breadcrumbs", "rescale"): False,
    ("breadcrumbs_ties", "rescale"): False,
    ("model_stock", "filter_wise"): False,
    ("multislerp", "eps"): 1e-8,
}
"""Parameters that mergekit's method has and ours has not -> the one value, mergekit's default, that ours amounts to."""


@dataclass(frozen=True, slots=True)
class Input:
    """One model in a slice."""

    model: Path
    layers: tuple[int, int] | None
    """[first, last + 1); None: all."""
    parameters: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Slice:
    """Layers that are merged with each other; slices are stacked."""

    inputs: tuple[Input, ...]
    parameters: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class TokenSource:
    """What is said of the rows of one token; with neither `zero` nor `model`: they are found as any token's are."""

    force: bool = False
    """Models that have the token take them too."""
    zero: bool = False
    model: Path | None = None
    """Whose row it is: that of the same token, unless one of the next two says another."""
    token: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class TokenizerChoice:
    """Which tokenizer the result has, and where rows come from."""

    source: str | Path
    """"base" (the first model's where there is no base), "union", or a model's folder."""
    tokens: Mapping[str, TokenSource] = field(default_factory=dict[str, TokenSource])
    """Those that the tokenizer lacks are added to it."""
    pad_to_multiple_of: int = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe, checked for itself: no model has been looked at."""

    method: Method
    slices: tuple[Slice, ...]
    base: Path | None
    parameters: Mapping[str, Value]
    dtype: str | None
    """torch's name; None: what a tensor's sources have in common."""
    out_dtype: str | None
    tokenizer: TokenizerChoice | None
    """None: the base's or first model's files as they are, vocabularies being equal."""
    chat_template: str | None
    """Jinja, or "auto": the one that most of the models have."""
    text: str
    path: Path
    notes: tuple[str, ...] = ()
    """What is written and has no effect, each with its line."""


def read_recipe(path: Path, named: Mapping[str, Path] | None = None) -> Recipe:
    """Read a file.

    Args:
        path: of the file; the models' paths in it are relative to its folder.
        named: models that it may call by a name instead.

    Raises:
        ConfigError: not YAML, or anything in it is wrong; each problem with its line.
    """
    document = read_document(path)
    return _Reader(document, path, named or {}).recipe()


class _Reader:
    """Turns a document into a recipe, collecting all that is wrong."""

    def __init__(self, document: Document, path: Path, named: Mapping[str, Path]) -> None:
        self._document, self._path, self._named = document, path, named
        self._notes: list[str] = []
        self._problems = [f"{one.mark or document.mark_of(one.location)}: {one.message}" for one in document.problems]

    def recipe(self) -> Recipe:
        values = self._document.values
        if "stages" in values:
            raise ConfigError(f"{self._path} is the recipe of a run, not of a merge: rl-reason run {self._path}")
        for key in values:
            if key in _NOT_YET:
                self._say((key,), f"{key}: {_NOT_YET[key]} is not supported")
            elif key not in _TOP:
                self._say((key,), f"unknown key {key!r}{_nearest(key, _TOP)}")
        name = values.get("merge_method")
        method = METHODS.get(name) if isinstance(name, str) else None
        if method is None:
            at: Location = ("merge_method",) if "merge_method" in values else ()
            self._say(at, f"merge_method is one of {', '.join(METHODS)}, not {name!r}{_nearest(str(name), METHODS)}")
            raise ConfigError("\n".join(self._problems))
        base = self._model(("base_model",), values["base_model"]) if values.get("base_model") else None
        if base is None and method.base == "required":
            self._say((), f"{method.name} needs a base_model")
        recipe = Recipe(
            method,
            self._slices(method, base),
            base,
            self._parameters(("parameters",), values.get("parameters"), method, overall=True),
            self._dtype("dtype"),
            self._dtype("out_dtype"),
            self._tokenizer(),
            self._chat_template(),
            self._path.read_text(encoding="utf-8"),
            self._path,
            tuple(self._notes),
        )
        if self._problems:
            raise ConfigError("\n".join(self._problems))
        return recipe

    def _slices(self, method: Method, base: Path | None) -> tuple[Slice, ...]:
        values = self._document.values
        if ("models" in values) == ("slices" in values):
            self._say((), "a recipe has either models or slices")
            return ()
        if "models" in values:
            inputs = self._inputs(("models",), values["models"], method, base, ranged=False)
            return (Slice(inputs, {}),)
        slices: list[Slice] = []
        for number, entry in enumerate(self._list(("slices",), values["slices"])):
            at: Location = ("slices", number)
            if not self._keys(at, entry, ("sources", "parameters"), needed=("sources",)):
                continue
            inputs = self._inputs((*at, "sources"), entry["sources"], method, base, ranged=True)
            given = self._parameters((*at, "parameters"), entry.get("parameters"), method, overall=True)
            slices.append(Slice(inputs, given))
        return tuple(slices)

    def _inputs(
        self, at: Location, written: Any, method: Method, base: Path | None, *, ranged: bool
    ) -> tuple[Input, ...]:
        inputs: list[Input] = []
        for number, entry in enumerate(self._list(at, written)):
            here = (*at, number)
            allowed = ("model", "parameters", *(("layer_range",) if ranged else ()))
            needed = ("model", *(("layer_range",) if ranged else ()))
            if not self._keys(here, entry, allowed, needed=needed):
                continue
            layers = self._layers((*here, "layer_range"), entry["layer_range"]) if ranged else None
            model = self._model((*here, "model"), entry["model"])
            given = self._parameters((*here, "parameters"), entry.get("parameters"), method, overall=False)
            inputs.append(Input(model, layers, given))
        if not ranged and method.base == "none" and base is not None and all(one.model != base for one in inputs):
            inputs.insert(0, Input(base, None, {}))  # mergekit: a base that the method has no use for is one more model
        lengths = {one.layers[1] - one.layers[0] for one in inputs if one.layers}
        if len(lengths) > 1:
            self._say(at, f"the sources of a slice have as many layers as each other, not {sorted(lengths)}")
        count = sum(one.model != base for one in inputs) if method.base != "none" else len(inputs)
        least, most = method.models
        if count < least or (most is not None and count > most):
            wanted = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
            beside = " beside the base model" if method.base != "none" else ""
            self._say(at, f"{method.name} takes {wanted} model{'s' * (wanted != '1')}{beside}, not {count}")
        return tuple(inputs)

    def _parameters(self, at: Location, written: Any, method: Method, *, overall: bool) -> dict[str, Value]:
        """At the top and of a slice all of the method's parameters may stand, for all models; else a model's own."""
        if written is None:
            return {}
        if not isinstance(written, Mapping):
            self._say(at, "parameters map names to values")
            return {}
        known: dict[str, Parameter] = {**method.per_model, **(method.overall if overall else {})}
        found: dict[str, Value] = {}
        for name, one in written.items():
            only = _ONLY.get((method.name, name))
            if name in _NO_EFFECT or (only is not None and one == only):
                continue
            if only is not None:
                self._say(
                    (*at, name), f"{name}: {method.name} is supported with {str(only).lower()}, mergekit's default"
                )
                continue
            if name in method.overall and name not in known:
                self._note((*at, name), f"{name} of a single model has no effect: it is one of the whole merge")
                continue
            if name not in known and name in _ELSEWHERE:
                self._note((*at, name), f"{method.name} has no parameter {name}: it has no effect")
                continue
            if name not in known:
                self._say((*at, name), f"{method.name} has no parameter {name!r}{_nearest(name, known)}")
                continue
            try:
                found[name] = value(one, known[name])
            except ValueError as error:
                self._say((*at, name), f"{name}: {error}")
        return found

    def _layers(self, at: Location, written: Any) -> tuple[int, int] | None:
        if (
            isinstance(written, list) and len(written) == 2 and all(type(one) is int for one in written)
            and 0 <= written[0] < written[1]
        ):  # fmt: skip
            return written[0], written[1]
        self._say(at, f"layer_range is [first, last + 1], not {written!r}")
        return None

    def _model(self, at: Location, written: Any) -> Path:
        if isinstance(written, Mapping):
            written = written.get("model", written)
        if isinstance(written, Mapping) and set(written) == {"path"}:
            written = written["path"]
        if not isinstance(written, str):
            self._say(at, f"a model is the path of a folder, not {written!r}")
            return Path()
        if written in self._named:
            return self._named[written]
        path = self._path.parent / Path(written).expanduser()
        if not path.exists() and "+" in written:
            self._say(at, f"{written}: adapters (model+lora) are not supported: merge them into the model first")
        elif not path.exists() and Path(written).expanduser().exists():
            return Path(written).expanduser()
        elif not path.exists():
            self._say(
                at,
                f"{written} is no folder{self._known(written)}; models are local: download it "
                "(hf download) and give its path",
            )
        return path

    def _known(self, written: str) -> str:
        return (
            f" and none of the run's models {', '.join(self._named)}{_nearest(written, self._named)}"
            if self._named
            else ""
        )

    def _dtype(self, key: str) -> str | None:
        written = self._document.values.get(key)
        if written is None or (isinstance(written, str) and written in NAMES):
            return written
        self._say((key,), f"{key} is one of {', '.join(NAMES)}, not {written!r}{_nearest(str(written), NAMES)}")
        return None

    def _tokenizer(self) -> TokenizerChoice | None:
        values = self._document.values
        short, section = values.get("tokenizer_source"), values.get("tokenizer")
        at: Location = ("tokenizer",)
        if section is None:
            return None if short is None else TokenizerChoice(self._whose(("tokenizer_source",), short))
        if short is not None:
            self._say(("tokenizer_source",), "give either tokenizer_source or tokenizer, not both")
        if not self._keys(at, section, ("source", "tokens", "pad_to_multiple_of"), needed=()):
            return None
        multiple = section.get("pad_to_multiple_of") or 1
        if type(multiple) is not int or multiple < 1:
            self._say((*at, "pad_to_multiple_of"), f"pad_to_multiple_of is a whole number, not {multiple!r}")
            multiple = 1
        tokens = section.get("tokens") or {}
        if not isinstance(tokens, Mapping):
            self._say((*at, "tokens"), "tokens map a token to its source")
            tokens = {}
        sources = {str(token): self._token((*at, "tokens", token), one) for token, one in tokens.items()}
        return TokenizerChoice(self._whose((*at, "source"), section.get("source", "union")), sources, multiple)

    def _whose(self, at: Location, written: Any) -> str | Path:
        if written in ("base", "union"):
            return written
        return self._model(at, written.removeprefix("model:") if isinstance(written, str) else written)

    def _token(self, at: Location, written: Any) -> TokenSource:
        if not self._keys(at, written, ("source", "force"), needed=()):
            return TokenSource()
        force, source, here = written.get("force", False), written.get("source"), (*at, "source")
        if not isinstance(force, bool):
            self._say((*at, "force"), f"force is true or false, not {force!r}")
        if source is None:
            if force:
                self._say(at, "force needs a source")
            return TokenSource()
        kind = source.get("kind") if isinstance(source, Mapping) else None
        if kind is None:
            return TokenSource(force, model=self._model(here, source))
        if kind == "zero" and self._keys(here, source, ("kind",), needed=()):
            return TokenSource(force, zero=True)
        if kind == "model_token" and self._keys(
            here, source, ("kind", "model", "token", "token_id"), needed=("model",)
        ):
            token, number = source.get("token"), source.get("token_id")
            if isinstance(token, str) == (type(number) is int):
                self._say(here, "give exactly one of token (a text) and token_id (a number)")
            return TokenSource(force, model=self._model((*here, "model"), source["model"]), token=token, number=number)
        if kind not in ("zero", "model_token"):
            self._say((*here, "kind"), f"kind is zero or model_token, not {kind!r}")
        return TokenSource()

    def _chat_template(self) -> str | None:
        written = self._document.values.get("chat_template")
        if written is None or written == "auto" or (isinstance(written, str) and "{" in written):
            return written
        self._say(
            ("chat_template",),
            f"chat_template is auto or the Jinja text itself, not {written!r}: mergekit's named ones are not shipped",
        )
        return None

    def _list(self, at: Location, written: Any) -> Sequence[Any]:
        if isinstance(written, list) and written:
            return written
        self._say(at, f"{dotted(at)} is a list of at least one entry")
        return []

    def _keys(self, at: Location, entry: Any, allowed: Sequence[str], *, needed: Sequence[str]) -> bool:
        if not isinstance(entry, Mapping):
            self._say(at, f"{dotted(at)} has the keys {', '.join(allowed)}")
            return False
        for key in entry:
            if key not in allowed:
                self._say((*at, key), f"unknown key {key!r}{_nearest(key, allowed)}")
        missing = [key for key in needed if key not in entry]
        if missing:
            self._say(at, f"{missing[0]} is missing")
        return not missing

    def _note(self, at: Location, message: str) -> None:
        self._notes.append(f"{self._document.mark_of(at)}: {message}")

    def _say(self, at: Location, message: str) -> None:
        self._problems.append(f"{self._document.mark_of(at)}: {message}")


def _nearest(name: str, among: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(name), list(among), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
