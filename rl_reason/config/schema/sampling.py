"""Recipe section `sampling` of stages that generate: how responses are drawn."""

from __future__ import annotations

from pydantic import Field

from rl_reason.config.schema.section import Section


class Sampling(Section):
    """How responses are drawn."""

    temperature: float = Field(default=1.0, gt=0)
    """Divides the logits; 1 (the default) is the model's own distribution, towards 0 it becomes greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Share of probability that is drawn from; 1 (the default) is all of it, and all that is supported as yet."""
    top_k: int = Field(default=0, ge=0)
    """Number of tokens that are drawn from; 0 (the default) is all of them, and all that is supported as yet."""
    max_new_tokens: int = Field(default=2048, ge=1)
    """Longest response, in tokens; longer ones are truncated. Default: half of the default context."""
    repetition_stop: bool = False
    """End a response that repeats itself, and mark it so. Default: no, as the paper's rule is not published."""
