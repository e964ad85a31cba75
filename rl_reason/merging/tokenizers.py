"""One vocabulary for models that have different ones: each model's embedding rows are taken by token, not by number.

`tokenizer_source` says which: one model's, or the union of all. A row that a model lacks is the row of the one model
that has the token, or the base's, or the mean over the models that have it; zero where none has, and what the recipe
says of a token goes before all that. Rows past the last token, with which vocabularies are padded to a round size
(Qwen2.5 has 151,936 or 152,064 rows for the same tokens), are left out. All of it is as in mergekit 0.1.5.

Not as in mergekit is how tokens get into a united tokenizer. There all of them are "added" ones, which are found in a
text only letter by letter (`Ġthe` never is); here tokens of a model's own vocabulary go into the first one's
vocabulary, with their merges after its own, so that texts are cut into them.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_reason.errors import MergeError
from rl_reason.merging.checkpoint import Tensor
from rl_reason.merging.plan import Rows, Source
from rl_reason.merging.recipe import TokenSource

_BY_TOKEN = ("embed_tokens", "wte", "lm_head")
TOKENIZER, TEMPLATE = "tokenizer.json", "chat_template.jinja"
_SETTINGS = "tokenizer_config.json"
_OF_ONE_VOCABULARY = ("tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json")
"""Older forms of a tokenizer, which say nothing of tokens that came from elsewhere."""
_CARRIED = (
    TOKENIZER, _SETTINGS, "special_tokens_map.json", TEMPLATE, "chat_template.json", "generation_config.json",
    *_OF_ONE_VOCABULARY,
)  # fmt: skip
_CUT_BY = ("normalizer", "pre_tokenizer", "decoder")
"""What of a tokenizer says how a text is cut before its vocabulary is looked at."""


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A model's tokenizer.json."""

    folder: Path
    document: Mapping[str, Any]
    tokens: Mapping[str, int]


@dataclass(frozen=True)
class Vocabulary:
    """The result's."""

    tokens: Mapping[str, int]
    padded_to: int = 1
    """The number of rows is a multiple of this."""
    chosen: Mapping[str, TokenSource] = field(default_factory=dict[str, TokenSource])
    """What the recipe says of single tokens."""

    @cached_property
    def padding(self) -> int:
        """Rows after the last token."""
        return -(max(self.tokens.values()) + 1) % self.padded_to

    @cached_property
    def rows(self) -> int:
        """All rows."""
        return max(self.tokens.values()) + 1 + self.padding

    def concerns(self, name: str) -> bool:
        """Whether a tensor has a row for each token."""
        return any(part in name for part in _BY_TOKEN)

    def sources(
        self, tensors: Mapping[Path, Tensor], tokenizers: Mapping[Path, Tokenizer], base: Path | None
    ) -> dict[Path, Source]:
        """Of each model its tensor in this vocabulary's order.

        Args:
            tensors: the same tensor of each model.
            tokenizers: of each of them.
            base: whose rows others take for what they lack.

        Raises:
            MergeError: the recipe takes a row for a token from where there is none.
        """
        own = {model: self._own(tokenizers[model], tensor.shape[0]) for model, tensor in tensors.items()}
        default = self._default(own, base)
        forced = np.zeros(self.rows, dtype=bool)
        for token, choice in self.chosen.items():
            place = self.tokens[token]
            forced[place] = choice.force
            if not choice.zero and choice.model is None:
                continue
            for at in default.values():
                at[place] = -1
            if choice.model is not None:
                number = self._number(token, choice, tensors, tokenizers)
                default[choice.model][place] = number
        return {
            model: self._source(model, tensors, own[model], default, forced, tokenizers[model]) for model in tensors
        }

    def _own(self, theirs: Tokenizer, rows: int) -> NDArray[np.int64]:
        """Of each row of the result the model's own, -1 where it knows no such token."""
        found = np.full(self.rows, -1, dtype=np.int64)
        for token, place in self.tokens.items():
            number = theirs.tokens.get(token, -1)
            if number < rows:
                found[place] = number
        return found

    def _default(self, own: Mapping[Path, NDArray[np.int64]], base: Path | None) -> dict[Path, NDArray[np.int64]]:
        """Of each model the rows that others take: the base's alone where it has one."""
        default = {model: at.copy() for model, at in own.items()}
        if base is not None and base in own:
            for model, at in default.items():
                if model != base:
                    at[own[base] >= 0] = -1
        return default

    def _number(
        self, token: str, choice: TokenSource, tensors: Mapping[Path, Tensor], tokenizers: Mapping[Path, Tokenizer]
    ) -> int:
        """Which row of its source's tensor a token takes."""
        assert choice.model is not None
        if choice.model not in tensors:
            raise MergeError(
                f"the row for the token {token!r} should come from {choice.model}, which is none of the models: "
                f"{', '.join(map(str, tensors))}"
            )
        number = choice.number
        if number is None:
            number = tokenizers[choice.model].tokens.get(choice.token or token, -1)
        if not 0 <= number < tensors[choice.model].shape[0]:
            wanted = repr(choice.token or token) if choice.number is None else f"number {choice.number}"
            raise MergeError(f"the row for the token {token!r} should come from {choice.model}, which has no {wanted}")
        return number

    def _source(
        self,
        model: Path,
        tensors: Mapping[Path, Tensor],
        own: NDArray[np.int64],
        default: Mapping[Path, NDArray[np.int64]],
        forced: NDArray[np.bool_],
        theirs: Tokenizer,
    ) -> Source:
        keeps = (own >= 0) & ~forced
        if keeps.all() and theirs.tokens == self.tokens and len(own) == tensors[model].shape[0]:
            return Source(tensors[model])
        rows = [Rows(tensors[model], np.where(keeps, own, default[model]))]
        rows += [Rows(tensors[other], np.where(keeps, -1, at)) for other, at in default.items() if other != model]
        return Source(tensors[model], tuple(one for one in rows if (one.at >= 0).any()), self.padding)


def tokenizer_of(folder: Path) -> Tokenizer:
    """Read tokenizer.json.

    Raises:
        MergeError: there is none, or it lists no tokens.
    """
    path = folder / TOKENIZER
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MergeError(
            f"tokenizer_source needs {path}: {error.strerror}; save the tokenizer with save_pretrained of a fast one"
        ) from error
    except ValueError as error:
        raise MergeError(f"{path} is not JSON: {error}") from error
    listed = found.get("model", {}).get("vocab", {})
    if isinstance(listed, list):  # unigram: [token, score] by number
        listed = {entry[0]: number for number, entry in enumerate(listed)}
    tokens = {**listed, **{one["content"]: one["id"] for one in found.get("added_tokens", [])}}
    if not tokens:
        raise MergeError(f"{path} lists no tokens")
    return Tokenizer(folder, found, tokens)


def united(tokenizers: Sequence[Tokenizer]) -> Tokenizer:
    """The first one, with the tokens of the others numbered on from its last.

    Raises:
        MergeError: one of the others has tokens of its own and cuts a text in another way than the first.
    """
    first = tokenizers[0]
    document, tokens = copy.deepcopy(dict(first.document)), dict(first.tokens)
    for other in tokenizers[1:]:
        added = {one["content"]: one for one in other.document.get("added_tokens", [])}
        new = [token for token in sorted(other.tokens, key=other.tokens.__getitem__) if token not in tokens]
        if any(token not in added for token in new):
            _same_cut(first, other)
        for number, token in enumerate(new, start=max(tokens.values()) + 1):
            tokens[token] = number
            if token in added:
                document.setdefault("added_tokens", []).append({**added[token], "id": number})
        _list_all(document, tokens)
        _add_merges(document["model"], other.document.get("model", {}))
    return Tokenizer(first.folder, document, tokens)


def extended(tokenizer: Tokenizer, tokens: Sequence[str]) -> Tokenizer:
    """With more tokens, those that it lacks, which are found in a text letter by letter."""
    document, known = copy.deepcopy(dict(tokenizer.document)), dict(tokenizer.tokens)
    kind = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    for token in tokens:
        if token not in known:
            known[token] = max(known.values()) + 1
            document.setdefault("added_tokens", []).append({"id": known[token], "content": token, **kind})
    if known != tokenizer.tokens:
        _list_all(document, known)
    return Tokenizer(tokenizer.folder, document, known)


def differing(first: Path, other: Path) -> str | None:
    """What rows merged by number mix up, in a sentence; None where both models know the same tokens by number.

    Tokens with other names at the same number are only told, as publishers rename reserved ones.

    Raises:
        MergeError: a token that both know has different numbers.
    """
    paths = first / TOKENIZER, other / TOKENIZER
    if not all(path.is_file() for path in paths) or paths[0].read_bytes() == paths[1].read_bytes():
        return None
    ours, theirs = tokenizer_of(first).tokens, tokenizer_of(other).tokens
    moved = next((token for token, number in ours.items() if theirs.get(token, number) != number), None)
    if moved is not None:
        raise MergeError(
            f"the token {moved!r} is number {ours[moved]} in {first} and {theirs[moved]} in {other}, so rows of "
            "embeddings merged by number would be mixed up; set tokenizer_source to merge token by token"
        )
    names = {number: token for token, number in theirs.items()}
    renamed = [(number, token, names[number]) for token, number in ours.items() if names.get(number, token) != token]
    if not renamed:
        return None
    number, here, there = min(renamed)
    return (
        f"{len(renamed)} tokens have other names: number {number} is {here!r} in {first} and {there!r} in {other}; "
        "rows are merged by number (tokenizer_source merges token by token)"
    )


def carried_files(folder: Path, *, remade: bool = False) -> dict[str, Path]:
    """What the result takes over as it is of the model whose tokenizer it has: that, and generation settings.

    Args:
        folder: of the model.
        remade: whether the tokenizer itself is made anew.
    """
    names = [name for name in _CARRIED if not remade or name not in (TOKENIZER, *_OF_ONE_VOCABULARY)]
    return {name: folder / name for name in names if (folder / name).is_file()}


def chat_template(folder: Path) -> str | None:
    """A model's."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    try:
        found: Any = json.loads((folder / _SETTINGS).read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def usual_template(folders: Sequence[Path]) -> str:
    """The chat template that most of the models have, of equally many the first.

    Raises:
        MergeError: none has one.
    """
    found = Counter(template for folder in folders if (template := chat_template(folder)) is not None)
    if not found:
        raise MergeError(f"chat_template: auto: none of {', '.join(map(str, folders))} has a chat template")
    return found.most_common(1)[0][0]


def _same_cut(first: Tokenizer, other: Tokenizer) -> None:
    ours, theirs = first.document.get("model", {}), other.document.get("model", {})
    differing = [key for key in _CUT_BY if first.document.get(key) != other.document.get(key)]
    differing += [f"model.{key}" for key in {**ours, **theirs} if key not in ("vocab", "merges", "ignore_merges")
                  and ours.get(key) != theirs.get(key)]  # fmt: skip
    if isinstance(ours.get("vocab"), list):
        differing.append("a unigram model's scores belong to one vocabulary")
    if differing:
        raise MergeError(
            f"the tokenizers of {first.folder} and {other.folder} cut a text in different ways ({differing[0]}), so "
            "their tokens cannot be united; give base or a model as the source"
        )


def _list_all(document: Mapping[str, Any], tokens: Mapping[str, int]) -> None:
    """Added tokens into the vocabulary too: those that are not in it are numbered on from its size when it is read."""
    if isinstance(document["model"].get("vocab"), dict):
        document["model"]["vocab"] = dict(tokens)


def _add_merges(model: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Those of another BPE vocabulary after this one's own, where all their parts are tokens."""
    if not isinstance(model.get("merges"), list):
        return
    known = {_pair(one) for one in model["merges"]}
    as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
    prefix = model.get("continuing_subword_prefix") or ""
    for one in other.get("merges") or []:
        left, right = _pair(one)
        if (left, right) not in known and {left, right, left + right.removeprefix(prefix)} <= model["vocab"].keys():
            model["merges"].append(f"{left} {right}" if as_text else [left, right])


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right
