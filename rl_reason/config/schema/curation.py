"""Stages that make data and leave the model as it is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rl_reason.config.schema.sampling import Sampling
from rl_reason.config.schema.section import FolderName, Section, Text


class GenerateTests(Section):
    """Test cases for programming problems that have none, from their reference solutions (Kimi k1.5 §2.3.5)."""

    kind: Literal["generate_tests"]
    """Marks this kind of stage."""
    name: FolderName | None = None
    """Name of the stage, after its position in its folder's name. Null (the default): the kind."""
    problems: Text
    """JSONL: `prompt`, `solutions` (programs), and if there are any `id`, `generator`, `special_judge`. No default."""
    cases: int = Field(default=50, ge=1)
    """Inputs that each generator is asked for. Default: the paper's."""
    solutions: int = Field(default=10, ge=1)
    """Reference solutions that are sampled; problems with fewer are left out. Default: the paper's."""
    agree: int = Field(default=7, ge=1)
    """A case is valid when so many of the solutions print the same. Default: the paper's."""
    least_cases: int = Field(default=40, ge=1)
    """Problems with fewer valid cases are left out. Default: the paper's."""
    pass_all: int = Field(default=9, ge=1)
    """Problems that fewer solutions pass in full are left out. Default: the paper's."""
    attempts: int = Field(default=4, ge=0)
    """Generators that the model writes for a problem that has none; the first good one counts. 0 writes none. Default:
    a few, as many do not run."""
    template: Text | None = None
    """File with what the model is asked; `{problem}` and `{cases}` in it are filled in. Null (the default): our own."""
    sampling: Sampling = Sampling()
    """How the model's generators are drawn."""
    isolation: Literal["full", "no_namespaces", "rlimits"] = "full"
    """Least level of the sandbox that programs run in; below it the stage refuses to begin. Default: all of it."""
    time_s: float = Field(default=4.0, gt=0)
    """Seconds one program may run on one input. Default: twice what contests usually allow."""
    memory_mib: int = Field(default=512, ge=16)
    """Memory of one program, in MiB. Default: what contests usually allow, doubled."""
    workers: int = Field(default=2, ge=1)
    """Programs run at the same time. Default: two."""
