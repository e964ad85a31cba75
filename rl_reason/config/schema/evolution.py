"""The `evolve` stage: a search for the best way to merge models (arXiv 2403.13187)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rl_reason.config.schema.sampling import Sampling
from rl_reason.config.schema.section import FolderName, Section, Text


class ParameterSearch(Section):
    """Weights and densities of a merging method."""

    kind: Literal["parameters"]
    """Marks this kind of search."""
    models: tuple[Text, ...] = Field(min_length=1)
    """The models that are merged, beside the stage's incoming one, which is the base: folders, or earlier stages' names
    such as 01-sft. No default."""
    method: Literal[
        "linear", "task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della",
        "della_linear", "slerp",
    ] = "dare_ties"  # fmt: skip
    """mergekit's name. `linear` knows no base: there the incoming model is not part. Default: the paper's."""
    groups: int = Field(default=1, ge=1)
    """Groups of neighbouring layers with values of their own; divides the layers. Default: the reported models'."""
    highest_weight: float = Field(default=1.0, gt=0)
    """Weights are from 0 to this. Default: 1; the paper states where weights start and no bound."""
    trials: int = Field(default=1000, ge=1)
    """Candidates in all, rounded up to whole generations. Default: the paper's."""
    population: int | None = Field(default=None, ge=4)
    """Candidates of a generation. Null (the default): 4 + floor(3 ln variables), the paper's."""


class DataFlowSearch(Section):
    """Paths through the layers of several models, the stage's incoming one being A."""

    kind: Literal["data_flow"]
    """Marks this kind of search."""
    models: tuple[Text, ...] = Field(min_length=1)
    """The other models, of A's architecture and sizes: folders, or earlier stages' names such as 01-sft. No default."""
    repeats: int = Field(default=3, ge=1)
    """How often all layers are laid out one after the other. Default: the paper's."""
    scaling: Literal["matrix", "network", "none"] = "matrix"
    """How inputs are scaled: W, W by a small network (fewer variables), or not. Default: the paper's."""
    generations: int = Field(default=100, ge=1)
    """Generations. Default: the paper's."""
    population: int = Field(default=128, ge=4)
    """Candidates of a generation. Default: the paper's."""


class Evolve(Section):
    """Search for the best merge of models by CMA-ES, on `data.train`; the winner is tested once, on `data.heldout`."""

    kind: Literal["evolve"]
    """Marks this kind of stage."""
    name: FolderName | None = None
    """Name of the stage, after its position in its folder's name. Null (the default): the kind."""
    space: Annotated[ParameterSearch | DataFlowSearch, Field(discriminator="kind")]
    """What is searched. No default."""
    objective: Literal["accuracy", "accuracy_and_tokens"] = "accuracy"
    """What is wanted: accuracy, or both more of it and shorter responses. Default: the paper's."""
    validation: int = Field(default=200, ge=0)
    """The last so many problems of `data.train` choose among the generations' best; 0: the best in the search wins.
    Default: the paper's for paths."""
    batch: int | None = Field(default=None, ge=1)
    """Problems that a generation is evaluated on, others for each. Null (the default): all, the paper's for weights."""
    sigma: float = Field(default=1 / 6, gt=0, le=0.25)
    """Width of the distribution at the start. Default: the paper's in parameter space."""
    sampling: Sampling = Sampling()
    """Limits of the responses; they are greedy whatever the temperature."""
