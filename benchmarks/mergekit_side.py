"""mergekit's side of the comparison; run by mergekit's own Python: merges each recipe given into a folder beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True, random_seed=1)
for name in sys.argv[1:]:
    recipe = Path(name)
    try:
        run_merge(
            MergeConfiguration.model_validate(yaml.safe_load(recipe.read_text())),
            str(recipe.with_suffix(".mergekit")),
            options=options,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        recipe.with_suffix(".mergekit_error").write_text(str(error))
