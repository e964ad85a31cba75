"""Prompts from parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rl_reason.data.prompts import Fields, LoadedPrompts, prompts_from_records
from rl_reason.errors import DataError


def read_parquet(
    path: Path,
    *,
    prompt_field: str = "prompt",
    answer_field: str = "answer",
    id_field: str = "id",
    limit: int | None = None,
) -> LoadedPrompts:
    """Read the file batch by batch; sources are `file:row`, rows counted from 1.

    Raises:
        DataError: there is no such file, or it is not parquet.
    """
    return prompts_from_records(_rows(path), Fields(prompt_field, answer_field, id_field), limit=limit)


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # Imported here: arrow takes a while to load and only parquet users need it.
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise DataError(f"{path}: no such file; give the path of a parquet file, from the current folder {Path.cwd()}")
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path}: not a parquet file ({error}); give a .parquet file or use another source") from error
    number = 0
    with file:
        batches = file.iter_batches(batch_size=1024)
        while True:
            try:
                batch = next(batches, None)
                records = [] if batch is None else batch.to_pylist()
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise DataError(f"{path}: damaged after row {number} ({error}); write or copy it anew") from error
            if batch is None:
                return
            for record in records:
                number += 1
                yield f"{path}:{number}", record
