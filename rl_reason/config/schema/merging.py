"""Stage `merge`: models into one."""

from __future__ import annotations

from typing import Literal

from rl_reason.config.schema.section import FolderName, Section, Text


class Merge(Section):
    """Average, interpolate or stack models by a merge recipe; the result is the model of the stages that follow."""

    kind: Literal["merge"]
    """Marks this kind of stage."""
    name: FolderName | None = None
    """Name of the stage, after its position in its folder's name. Null (the default): the kind."""
    recipe: Text
    """A merge recipe, as `rl-reason merge` takes it (mergekit's YAML). In it `model: previous` is the model that comes
    in, and a stage's folder name, such as `01-sft`, that stage's model. No default."""
