"""A model folder, known by its headers alone: which tensors, of which shape and type, where in which file."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_reason.errors import MergeError
from rl_reason.merging.dtypes import STORED

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_LONGEST_HEADER = 100 << 20
_BYTES = {name: stored.itemsize for name, stored in STORED.items()} | {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor in a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    start: int
    """Offset of its bytes in the file."""
    nbytes: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model folder."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def files(self) -> list[Path]:
        """Its weight files."""
        return sorted({tensor.path for tensor in self.tensors.values()})

    @property
    def architecture(self) -> str:
        """What its config calls itself."""
        names = self.config.get("architectures") or ["?"]
        return str(names[0])

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        return bool(self.config.get("tie_word_embeddings", False))


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read config.json and the headers.

    Raises:
        MergeError: no such folder or no weights in it, a damaged or cut-off file, a tensor that the index promises and
            its file lacks.
    """
    if not folder.is_dir():
        raise MergeError(
            f"{folder} is no folder; a model is a local folder with config.json and *.safetensors: download it first"
        )
    config = _json(folder / "config.json")
    if (folder / INDEX).exists():
        placed = _json(folder / INDEX).get("weight_map")
        if not isinstance(placed, dict) or not all(isinstance(name, str) for name in placed.values()):
            raise MergeError(f"{folder / INDEX} has no weight_map of tensors to files")
        found = {name: _header(folder / name) for name in sorted(set(placed.values()))}
        missing = sorted(name for name, file in placed.items() if name not in found[file])
        if missing:
            raise MergeError(f"{folder / placed[missing[0]]} lacks the tensor {missing[0]} that {INDEX} says it has")
        return Checkpoint(folder, config, {name: found[file][name] for name, file in placed.items()})
    if (folder / SINGLE).exists():
        return Checkpoint(folder, config, _header(folder / SINGLE))
    others = sorted(path.name for path in folder.glob("*.bin"))
    more = f" ({', '.join(others[:3])}: convert with save_pretrained(safe_serialization=True))" if others else ""
    raise MergeError(f"{folder} has neither {SINGLE} nor {INDEX}{more}")


def _header(path: Path) -> dict[str, Tensor]:
    """Format: 8 bytes of length, JSON, the tensors' bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else _LONGEST_HEADER + 1
            header = json.loads(file.read(length)) if length <= min(size, _LONGEST_HEADER) else None
    except OSError as error:
        raise MergeError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise MergeError(f"{path} is no safetensors file, or is cut off ({size:,} bytes)")
    tensors: dict[str, Tensor] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            begin, end = entry["data_offsets"]
            tensors[name] = Tensor(name, entry["dtype"], tuple(entry["shape"]), path, 8 + length + begin, end - begin)
        except (KeyError, TypeError, ValueError) as error:
            raise MergeError(f"{path}: the entry of {name} in its header is damaged") from error
        width = _BYTES.get(str(entry["dtype"]))
        if begin < 0 or end < begin or (width is not None and end - begin != width * math.prod(entry["shape"])):
            raise MergeError(f"{path}: the bytes of {name} do not fit its shape {entry['shape']} of {entry['dtype']}")
        if 8 + length + end > size:
            raise MergeError(
                f"{path} is cut off: {name} should end at byte {8 + length + end:,} and the file has {size:,}; "
                "download it again"
            )
    return tensors


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MergeError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise MergeError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise MergeError(f"{path} is not a JSON object")
    return found


def read_at(handle: int, buffer: memoryview, offset: int, what: str) -> None:
    """Fill the buffer from an open file.

    Raises:
        MergeError: the file ends before, which it did not when it was opened.
    """
    while buffer:
        count = os.preadv(handle, [buffer], offset)
        if count == 0:
            raise MergeError(f"{what} has become shorter while it was read")
        buffer, offset = buffer[count:], offset + count
