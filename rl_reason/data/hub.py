"""Prompts from the `datasets` library: a local folder or script-free data set, or a name on the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rl_reason.data.prompts import Fields, LoadedPrompts, prompts_from_records
from rl_reason.errors import DataError


def read_dataset(
    name: str,
    *,
    split: str = "train",
    subset: str | None = None,
    prompt_field: str = "prompt",
    answer_field: str = "answer",
    id_field: str = "id",
    limit: int | None = None,
) -> LoadedPrompts:
    """Read one split; sources are `name[split]#row`, rows counted from 0 as the data set does.

    Args:
        name: a folder written by `save_to_disk`, a folder of data files, or `owner/name` on the hub.
        subset: the data set's configuration name, where it has several.

    Raises:
        DataError: the data set or the split cannot be loaded; the message carries the library's reason.
    """
    rows = _rows(name, split, subset)
    return prompts_from_records(rows, Fields(prompt_field, answer_field, id_field), limit=limit)


def _rows(name: str, split: str, subset: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # Imported here: takes over a second to load and only its users need it.
    import datasets
    from datasets.exceptions import DatasetsError

    saved = (Path(name) / "dataset_info.json").is_file() or (Path(name) / "dataset_dict.json").is_file()
    try:
        loaded = datasets.load_from_disk(name) if saved else datasets.load_dataset(name, subset, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        raise DataError(
            f"cannot load data set {name!r} (subset {subset!r}, split {split!r}): {error}; "
            "give a folder that exists or a public name, and check the network for names on the hub"
        ) from error
    if saved:
        loaded = _split_of_saved(loaded, name, split)
    for index, record in enumerate(loaded):
        yield f"{name}[{split}]#{index}", dict(record)


def _split_of_saved(loaded: Any, name: str, split: str) -> Any:
    """One split, or part of one, of what `save_to_disk` wrote; `load_dataset` understands the notation by itself."""
    import datasets

    splits = loaded if isinstance(loaded, datasets.DatasetDict) else {str(loaded.split or "train"): loaded}
    try:
        wanted = datasets.ReadInstruction.from_spec(split)
        parts = wanted.to_absolute({str(one): len(rows) for one, rows in splits.items()})
    except (ValueError, AssertionError) as error:
        raise DataError(
            f"data set {name!r} has no split {split!r}; it has {', '.join(map(str, splits))} ({error})"
        ) from error
    return datasets.concatenate_datasets([splits[part.splitname].select(range(part.from_, part.to)) for part in parts])
