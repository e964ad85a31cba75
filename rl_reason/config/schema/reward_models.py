"""Recipe section `rewards.models`: reward models that judge responses, beside or instead of verifiers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rl_reason.config.schema.section import FolderName, Section, Text


class ClassicModel(Section):
    """A scalar head on a language model (Kimi k1.5 §2.3.5, "classic"); its reward is the probability of being right."""

    kind: Literal["classic"]
    """Marks this kind of reward model."""
    name: FolderName = "classic"
    """Under which its scores and metrics appear; unique among models and verifiers. Default: the kind."""
    weight: float = Field(default=1.0, ge=0)
    """Factor of its score in the reward; 0 records the score without rewarding it. Default: 1."""
    path: Text | None = None
    """Folder of the model, as a reward_model stage leaves it. Null (the default): `stage` says which."""
    stage: FolderName | None = None
    """Name (or kind) of an earlier reward_model stage of this recipe, whose model is used. Null (default): `path`."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which on a response counts as right. Default: one half."""
    batch_tokens: int = Field(default=16384, ge=1)
    """Tokens in one forward pass, without padding; only memory depends on it. Default: the learner's."""


class Endpoint(Section):
    """A server that speaks OpenAI's chat-completions protocol."""

    base_url: Text
    """Address before `/chat/completions`, such as `https://host/v1`. No default."""
    model: Text
    """The model's name at the server. No default."""
    api_key_env: Text | None = None
    """Environment variable that holds the key; the key itself is in no file. Null (the default): none is sent."""
    concurrency: int = Field(default=16, ge=1)
    """Requests under way at once. Default: gentle."""
    deadline_s: float = Field(default=120.0, gt=0)
    """Seconds one attempt may take, from connecting to the last byte. Default: for long reasoning."""
    attempts: int = Field(default=4, ge=1)
    """Tries of a request that meets an overloaded, failing or unreachable server, with growing pauses. Default: 4."""


class JudgeModel(Section):
    """A language model that reasons and ends in a JSON verdict (Kimi k1.5 §2.3.5, "chain-of-thought")."""

    kind: Literal["judge"]
    """Marks this kind of reward model."""
    name: FolderName = "judge"
    """Under which its scores and metrics appear; unique among models and verifiers. Default: the kind."""
    weight: float = Field(default=1.0, ge=0)
    """Factor of its score in the reward; 0 records the score without rewarding it. Default: 1."""
    path: Text | None = None
    """Hugging Face folder or hub name, served by engines of the kind in `engine`. Null (the default): `endpoint`."""
    endpoint: Endpoint | None = None
    """A server instead of engines of our own. Null (the default): `path`."""
    engines: int = Field(default=1, ge=1)
    """Engines of our own, with the settings of `engine`; unused with an endpoint. Default: one."""
    max_context_tokens: int = Field(default=16384, ge=2)
    """Longest question and verdict together for engines of our own, in tokens; longer ones are unjudged. Default: long
    chains of thought."""
    max_new_tokens: int = Field(default=2048, ge=1)
    """Longest reasoning with its verdict, in tokens; a truncated one is unjudged. Default: as for responses."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the judge's own sampling; 0 (the default) is greedy, and the only choice that one vote makes sense with."""
    votes: int = Field(default=1, ge=1)
    """Verdicts asked for each response, of which the majority counts; a tie is unjudged. Default: 1."""
    template: Text | None = None
    """File with what the judge is asked: text with {{question}}, {{reference}}, {{response}}. Null (the default): the
    one that is shipped, `rl_reason/data/templates/judge.txt`."""


RewardModelChoice = Annotated[ClassicModel | JudgeModel, Field(discriminator="kind")]
