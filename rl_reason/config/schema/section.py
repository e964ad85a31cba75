"""The base of all sections: frozen, unknown keys refused, the docstring under a field is its description."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

FolderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Used as a folder's name: letters, digits, dot, dash, underscore."""
Text = Annotated[str, StringConstraints(min_length=1)]
"""Any text but none."""


class Section(BaseModel):
    """One block of a recipe. Validation of values happens here; of values against each other in `config.rules`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
