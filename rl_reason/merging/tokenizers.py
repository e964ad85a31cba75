"""One tokenizer for models that have different ones: each model's embedding rows are taken by token, not by number.

`tokenizer_source: base`, or the folder of one of the models: the result has that one's tokenizer and vocabulary. A
token that another model does not know takes the row of the model whose tokenizer it is. Rows past the last token, with
which vocabularies are padded to a round size (Qwen2.5 has 151,936 or 152,064 rows for the same tokens), are kept as
that model has them.

Measured against mergekit 0.1.5: with `base` every token's row is the same. With another model's tokenizer, mergekit
takes for a token that a model lacks the base's row, and where the base lacks it too the mean over the models that have
it. mergekit drops the padding rows. Its `union` is not supported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_reason.errors import MergeError
from rl_reason.merging.checkpoint import Tensor
from rl_reason.merging.plan import Source

_BY_TOKEN = ("embed_tokens", "wte", "lm_head")
_CARRIED = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The result's."""

    folder: Path
    tokens: Mapping[str, int]

    def concerns(self, name: str) -> bool:
        """Whether a tensor has a row for each token."""
        return any(part in name for part in _BY_TOKEN)

    def source(self, tensor: Tensor, theirs: Mapping[str, int], own: Tensor) -> Source:
        """The rows of a model's tensor in this vocabulary's order.

        Args:
            tensor: of the model.
            theirs: the model's tokens.
            own: the same tensor of the model whose vocabulary this is.
        """
        if theirs == self.tokens and tensor.shape == own.shape:
            return Source(tensor)
        rows = -1 - np.arange(own.shape[0], dtype=np.int64)  # the own row, unless the model has one
        for token, place in self.tokens.items():
            found = theirs.get(token)
            if found is not None and found < tensor.shape[0] and place < len(rows):
                rows[place] = found
        return Source(tensor, rows, own)


def vocabulary_of(folder: Path) -> Vocabulary:
    """Read tokenizer.json.

    Raises:
        MergeError: there is none, or it lists no tokens.
    """
    path = folder / "tokenizer.json"
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
    return Vocabulary(folder, tokens)


def carried_files(tokenizer: Path, model: Path) -> dict[str, Path]:
    """What of the sources the result takes over as it is: one model's tokenizer, one's generation settings."""
    found = {name: tokenizer / name for name in _CARRIED if (tokenizer / name).is_file()}
    if (model / "generation_config.json").is_file():
        found["generation_config.json"] = model / "generation_config.json"
    return found
