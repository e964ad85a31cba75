"""`prime_intellect`: scores a response with the rewards of a task of Prime Intellect's `verifiers` environments.

Their package is optional and imported only when this verifier is constructed; nothing else here imports it. Written for
the API of `verifiers.v1` in 0.4, where a taskset's Task has methods marked `@reward` that are given the trace of a
roll-out; ours is one user message and one assistant message, scored offline as their own `vf-replay` does.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import inspect
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from rl_reason.errors import PluginError
from rl_reason.types import Prompt, Score, Verdict

_NEEDED = "verifiers>=0.4,<0.5"


class PrimeIntellect:
    """The rewards of a task of Prime Intellect's `verifiers`, weighted as the task says, add up to full marks.

    The prompts are the taskset's own: each line of the prompt file has the fields of the taskset's `TaskData` beside
    `prompt` and `answer`. This writes such a file:

        import json, verifiers.v1 as vf
        for task in vf.load_taskset(vf.taskset_config_type("my-tasks")(id="my-tasks")):
            fields = task.data.model_dump(mode="json", exclude_defaults=True)
            print(json.dumps(fields | {"prompt": task.data.prompt_text}))

    Only what a response's text decides can be rewarded: a taskset whose rewards need a runtime (a container), or that
    asks a judge, is refused; so is one of several agents' environments' own scoring.

    Args:
        taskset: id of an installed taskset, as for their `eval` command.
        config: fields of the taskset's configuration.
        right_at: sum of weighted rewards from which a response is RIGHT; null: the sum of the positive weights.
    """

    needs: ClassVar[tuple[str, ...]] = (f"package:{_NEEDED}",)

    def __init__(self, *, taskset: str, config: Mapping[str, Any] | None = None, right_at: float | None = None) -> None:
        self._vf = _package()
        self._taskset, self._right_at = taskset, right_at
        try:
            self._task: Any = self._vf.task_type(taskset)
            self._config = self._vf.taskset_config_type(taskset)(**{**(config or {}), "id": taskset})
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"there is no taskset {taskset!r} of Prime Intellect's verifiers here: {error}"
            ) from error
        self._refuse_what_needs_more_than_text()

    def verify(self, prompt: Prompt, response: str) -> Score:
        """UNJUDGED when the prompt lacks the task's fields, or the task's own scoring fails."""
        fields = self._task.data_type().model_fields
        row = {name: value for name, value in prompt.metadata.items() if name in fields}
        row |= {"prompt": prompt.text} | ({"answer": prompt.answer} if "answer" in fields and prompt.answer else {})
        try:
            task = self._task(self._task.data_type()(**row), self._config.task)
        except ValueError as error:  # pydantic's
            return _unjudged(f"the prompt is no task of {self._taskset}: {' '.join(str(error).split())[:300]}")
        trace = self._trace(task, prompt.text, response)
        try:
            asyncio.run(task.score(trace))
        except self._vf.TaskError as error:
            return _unjudged(f"the scoring of {self._taskset} failed: {str(error)[:300]}")
        missing = [name for name, reward in trace.rewards.items() if reward is None or not math.isfinite(reward.value)]
        if missing:
            return _unjudged(f"{self._taskset} gave no number for {', '.join(missing)}")
        return self._score(trace)

    def _score(self, trace: Any) -> Score:
        rewards = trace.rewards
        full = sum(reward.weight for reward in rewards.values() if reward.weight > 0)
        right = trace.reward >= (full if self._right_at is None else self._right_at) - 1e-9
        parts = {name: float(reward.score) for name, reward in rewards.items()}
        shown = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        verdict = Verdict.RIGHT if right else Verdict.WRONG
        return Score(verdict, float(trace.reward), parts, "" if right else shown)

    def _trace(self, task: Any, question: str, response: str) -> Any:
        """A roll-out of one turn, as their harness would have recorded it."""
        vf = self._vf
        asked = vf.MessageNode(message=vf.UserMessage(content=question))
        said = vf.MessageNode(message=vf.AssistantMessage(content=response), parent=0, sampled=True)
        return vf.Trace(
            task=vf.TraceTask(type=type(task).__name__, data=task.data),
            agent=vf.AgentInfo(config=vf.AgentConfig(runtime=vf.SubprocessConfig())),
            nodes=[asked, said],
            is_completed=True,
            ok=True,
        )

    def _refuse_what_needs_more_than_text(self) -> None:
        """A reward that is skipped, as theirs are without a runtime, would be a silent 0."""
        task = self._task(self._task.data_type().model_construct(), self._config.task)
        rewards = task.hooks("reward")
        parameters = {reward.__name__: inspect.signature(reward).parameters.get("runtime") for reward in rewards}
        bound = [name for name, runtime in parameters.items() if runtime and runtime.default is inspect.Parameter.empty]
        if self._task.NEEDS_CONTAINER or bound:
            what = f"its rewards {', '.join(bound)} need" if bound else "its tasks need"
            raise PluginError(f"taskset {self._taskset!r} cannot be scored from a response alone: {what} a runtime")
        if self._config.task.judges:
            raise PluginError(f"taskset {self._taskset!r} asks a judge; use a reward model of rl-reason instead")
        if not rewards:
            raise PluginError(f"taskset {self._taskset!r} has no rewards: every response would get 0")


def _package() -> Any:
    """Their package, which shares its name with folders such as our own.

    Raises:
        PluginError: it is not installed, is another version, or is shadowed.
    """
    install = f"pip install '{_NEEDED}'"
    try:
        version = importlib.metadata.version("verifiers")
    except importlib.metadata.PackageNotFoundError as error:
        raise PluginError(f"prime_intellect needs Prime Intellect's package verifiers: {install}") from error
    if not version.startswith("0.4."):
        raise PluginError(f"prime_intellect is written for {_NEEDED}, and {version} is installed: {install}")
    try:
        return importlib.import_module("verifiers.v1")
    except ImportError as error:
        shadow = "is there a folder called verifiers with an __init__.py where Python looks first?"
        raise PluginError(f"verifiers {version} cannot be imported: {error}; {shadow} If not: {install}") from error


def _unjudged(reason: str) -> Score:
    return Score(Verdict.UNJUDGED, None, reason=reason)
