"""Recipe section `data`: prompts to train on and held-out prompts, and how they are put to the model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rl_reason.config.schema.section import Section, Text


class FileSource(Section):
    """A file with one JSON object a line, or a parquet file."""

    kind: Literal["jsonl", "parquet"]
    """Which sort of file."""
    path: Text
    """The file; relative to the folder of the recipe that names it. No default."""
    prompt_field: Text = "prompt"
    """Record field that holds the problem's text. Default: the commonest name."""
    answer_field: Text = "answer"
    """Record field that holds the reference answer, which the verifier reads. Default: the commonest name."""
    id_field: Text = "id"
    """Record field that names the problem; where there is none, one is made of its content. Default: the commonest."""
    limit: int | None = Field(default=None, ge=1)
    """How many good records are used, from the first. Null (the default): all of them."""


class DatasetsSource(Section):
    """A data set that the `datasets` library loads."""

    kind: Literal["datasets"]
    """Marks this kind of source."""
    name: Text
    """Name on the Hugging Face hub, or a local path that begins with . / or ~. No default."""
    split: Text = "train"
    """Which split, in the library's own notation (`train[:1000]` works). Default: the commonest."""
    subset: Text | None = None
    """The data set's configuration name (`main` of gsm8k). Null (the default): it has only one."""
    prompt_field: Text = "prompt"
    """Column that holds the problem's text. Default: the commonest name."""
    answer_field: Text = "answer"
    """Column that holds the reference answer, which the verifier reads. Default: the commonest name."""
    id_field: Text = "id"
    """Column that names the problem; where there is none, one is made of its content. Default: the commonest."""
    limit: int | None = Field(default=None, ge=1)
    """How many good rows are used, from the first. Null (the default): all of them."""


class ReasoningGymSource(Section):
    """Problems that reasoning-gym generates; its own verifier can judge them."""

    kind: Literal["reasoning_gym"]
    """Marks this kind of source."""
    task: Text
    """reasoning-gym's name of the task, such as `chain_sum`. No default."""
    size: int = Field(ge=1)
    """How many problems. No default."""
    seed: int = Field(ge=0)
    """Seed of the generator; training and held-out problems need different ones. No default, for that reason."""
    options: dict[str, Any] = Field(default={})
    """The task's own parameters (`min_terms`, …). Empty (the default): the task's defaults."""


Source = Annotated[FileSource | DatasetsSource | ReasoningGymSource, Field(discriminator="kind")]


class Chat(Section):
    """How a problem becomes the tokens that the model continues."""

    system: str | None = None
    """The system turn. Null (the default): none, or what the template itself adds."""
    template: Text | None = None
    """A Jinja chat template. Null (the default): the tokenizer's own."""
    response_prefix: str = ""
    """Text put after the assistant's header, before the first generated token. Empty (the default): none."""


class Data(Section):
    """Prompts to train on and held-out prompts."""

    train: tuple[Source, ...] = ()
    """Sources of the prompts that rl stages draw from. Empty (the default): fine where there is no rl stage."""
    heldout: tuple[Source, ...] = ()
    """Sources of the prompts that are only ever evaluated. Empty (the default): fine where nothing is evaluated."""
    on_bad_line: Literal["refuse", "skip"] = "refuse"
    """What a broken, duplicate or over-long record does: stop the run, or be skipped and counted. Default: safest."""
    max_prompt_tokens: int = Field(default=1024, ge=1)
    """Longest rendered prompt, in tokens; longer ones are bad records. Default: a quarter of the default context."""
    chat: Chat = Chat()
    """How a problem is put to the model."""
