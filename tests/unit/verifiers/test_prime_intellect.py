"""The bridge to Prime Intellect's `verifiers`.

Where that package is installed (`pip install 'verifiers>=0.4,<0.5'`) these tests use it. Where it is absent, as in our
own environment, they use FAKE below: a small module with the part of the API of 0.4.0 that the bridge touches. The same
toy taskset runs on both; it was last run on the real 0.4.0 on 2026-11-25.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rl_reason_verifiers.prime_intellect import PrimeIntellect

from rl_reason.errors import PluginError
from rl_reason.types import Prompt, Verdict

FAKE = """
import importlib
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from pydantic import BaseModel, ConfigDict

class TaskError(Exception): ...

class TaskData(BaseModel):
    prompt: str | None = None

class TaskConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")
    judges: list[Any] = []

class TasksetConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str = ""
    task: TaskConfig = TaskConfig()

@dataclass
class Reward:
    score: float
    weight: float

    @property
    def value(self): return self.score * self.weight

def reward(function=None, weight=1.0):
    def mark(f):
        f.reward, f._vf_weight = True, weight
        return f
    return mark if function is None else mark(function)

D, T = TypeVar("D"), TypeVar("T")

class Task(Generic[D]):
    NEEDS_CONTAINER = False

    def __init__(self, data, config=None): self.data, self.config = data, config

    @classmethod
    def data_type(cls): return cls.__orig_bases__[0].__args__[0]

    def hooks(self, kind):
        return [getattr(self, name) for name in sorted(dir(type(self))) if getattr(getattr(self, name), kind, False)]

    async def score(self, trace):
        for hook in self.hooks("reward"): trace.rewards[hook.__name__] = None
        for hook in self.hooks("reward"):
            try: value = await hook(trace)
            except Exception as error: raise TaskError(f"scoring: {type(error).__name__}: {error}") from error
            for name, mark in (value.items() if isinstance(value, dict) else [(hook.__name__, value)]):
                trace.rewards[name] = Reward(float(mark), hook._vf_weight)

class Taskset(Generic[T]): ...

@dataclass
class Node:
    message: Any
    parent: int | None = None
    sampled: bool = False

@dataclass
class Message:
    content: str

@dataclass
class AgentConfig:
    runtime: Any

class SubprocessConfig: ...

@dataclass
class AgentInfo:
    config: AgentConfig

@dataclass
class TraceTask:
    type: str
    data: Any

@dataclass
class Trace:
    task: TraceTask
    agent: AgentInfo
    nodes: list
    is_completed: bool
    ok: bool
    rewards: dict = field(default_factory=dict)

    @property
    def reward(self): return sum(r.value for r in self.rewards.values() if r is not None)

    @property
    def last_reply(self): return self.nodes[-1].message.content.strip()

class Runtime: ...
MessageNode, UserMessage, AssistantMessage = Node, Message, Message

def task_type(name):
    module = importlib.import_module(name)
    return getattr(module, module.__all__[0]).__orig_bases__[0].__args__[0]

def taskset_config_type(name): return TasksetConfig
"""
TASKSETS = {
    "toy": """
class Data(vf.TaskData):
    answer: str
    limit: int = 20

class Sum(vf.Task[Data]):
    @vf.reward(weight=1.0)
    async def correct(self, trace) -> float:
        if "crash" in trace.last_reply:
            raise KeyError("crash")
        return float(trace.last_reply.endswith(self.data.answer))

    @vf.reward(weight=0.5)
    async def brief(self, trace) -> float:
        return float("nan") if "nan" in trace.last_reply else float(len(trace.last_reply) <= self.data.limit)
""",
    "boxed": """
class Sum(vf.Task[vf.TaskData]):
    NEEDS_CONTAINER = True
    @vf.reward
    async def ran(self, trace) -> float: return 1.0
""",
    "run": """
class Sum(vf.Task[vf.TaskData]):
    @vf.reward
    async def ran(self, trace, runtime: vf.Runtime) -> float: return 1.0
""",
    "free": "class Sum(vf.Task[vf.TaskData]):\n    async def ran(self, trace) -> float: return 1.0\n",
}


REAL = any(
    found.metadata["Name"] == "verifiers" and found.version.startswith("0.4.")
    for found in importlib.metadata.distributions(name="verifiers")
)
"""Before any test puts the fake there."""


@pytest.fixture
def tasksets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy tasksets, importable as `rl_reason_toy` and so on, and `verifiers` itself where it is absent."""
    for name, body in TASKSETS.items():
        end = '\nclass Sums(vf.Taskset[Sum]):\n    def load(self): return []\n\n__all__ = ["Sums"]\n'
        (tmp_path / f"rl_reason_{name}.py").write_text(f"import verifiers.v1 as vf\n{body}{end}")
    if not REAL:
        fake(tmp_path, "0.4.0", FAKE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield from clean()


def fake(folder: Path, version: str, source: str) -> None:
    (folder / "verifiers").mkdir()
    (folder / "verifiers" / "__init__.py").write_text("")
    (folder / "verifiers" / "v1.py").write_text(source)
    info = folder / f"verifiers-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: verifiers\nVersion: {version}\n")


def clean() -> Iterator[None]:
    """What a test imported is not there for the next one."""
    theirs = [name for name in sys.modules if name == "verifiers" or name.startswith("verifiers.")]
    kept = {name: sys.modules.pop(name) for name in theirs if not REAL}
    yield
    for name in [name for name in sys.modules if name.startswith("rl_reason_") and name[10:] in TASKSETS]:
        del sys.modules[name]
    if not REAL:
        for name in [name for name in sys.modules if name == "verifiers" or name.startswith("verifiers.")]:
            del sys.modules[name]
        sys.modules.update(kept)


PROMPT = Prompt("p", "2 + 2?", "4", source="here")


@pytest.mark.parametrize(
    ("response", "verdict", "reward", "parts"),
    [
        ("it is 4", Verdict.RIGHT, 1.5, {"correct": 1.0, "brief": 1.0}),
        ("it is 5", Verdict.WRONG, 0.5, {"correct": 0.0, "brief": 1.0}),
        ("well, well, well, it is 4", Verdict.WRONG, 1.0, {"correct": 1.0, "brief": 0.0}),
        ("", Verdict.WRONG, 0.5, {"correct": 0.0, "brief": 1.0}),
        ("\x00\ud800 4", Verdict.RIGHT, 1.5, {"correct": 1.0, "brief": 1.0}),
    ],
)
def test_rewards_are_weighted_and_full_marks_are_right(
    tasksets: None, response: str, verdict: Verdict, reward: float, parts: dict[str, float]
) -> None:
    score = PrimeIntellect(taskset="rl_reason_toy").verify(PROMPT, response)
    assert (score.verdict, score.reward, score.parts) == (verdict, reward, parts)
    assert bool(score.reason) == (verdict is Verdict.WRONG)


def test_what_is_right_can_be_less_than_full_marks(tasksets: None) -> None:
    long = "well, well, well, it is 4"
    score = PrimeIntellect(taskset="rl_reason_toy", right_at=1.0).verify(PROMPT, long)
    assert (score.verdict, score.reward) == (Verdict.RIGHT, 1.0)


def test_the_tasks_own_fields_come_from_the_prompts_metadata(tasksets: None) -> None:
    asked = Prompt("p", "2 + 2?", "4", metadata={"limit": 3, "of no interest": 1})
    assert PrimeIntellect(taskset="rl_reason_toy").verify(asked, "it is 4").parts["brief"] == 0.0


def test_what_cannot_be_judged_is_unjudged(tasksets: None) -> None:
    judge = PrimeIntellect(taskset="rl_reason_toy")
    for prompt, response, says in (
        (Prompt("p", "2 + 2?", ""), "4", "the prompt is no task of rl_reason_toy: "),
        (Prompt("p", "2 + 2?", "4", metadata={"limit": "many"}), "4", "the prompt is no task of rl_reason_toy: "),
        (PROMPT, "crash", "the scoring of rl_reason_toy failed: "),
        (PROMPT, "nan", "rl_reason_toy gave no number for brief"),
    ):
        score = judge.verify(prompt, response)
        assert (score.verdict, score.reward) == (Verdict.UNJUDGED, None) and score.reason.startswith(says), score


@pytest.mark.parametrize(
    ("taskset", "says"),
    [
        ("rl_reason_no_such_taskset", "there is no taskset 'rl_reason_no_such_taskset'"),
        ("rl_reason_run", "cannot be scored from a response alone: its rewards ran need a runtime"),
        ("rl_reason_boxed", "cannot be scored from a response alone: its tasks need a runtime"),
        ("rl_reason_free", "has no rewards: every response would get 0"),
    ],
)
def test_a_taskset_that_text_cannot_decide_is_refused(tasksets: None, taskset: str, says: str) -> None:
    with pytest.raises(PluginError, match=says):
        PrimeIntellect(taskset=taskset)


def test_judges_and_unknown_configuration_are_refused(tasksets: None) -> None:
    judge = {"id": "reference", "name": "judge"}
    with pytest.raises(PluginError, match="asks a judge; use a reward model of rl-reason"):
        PrimeIntellect(taskset="rl_reason_toy", config={"task": {"judges": [judge]}})
    with pytest.raises(ValueError, match="no_such_field"):
        PrimeIntellect(taskset="rl_reason_toy", config={"no_such_field": 1})


@pytest.mark.skipif(REAL, reason="the package is installed")
def test_without_the_package_it_is_refused_with_the_command() -> None:
    with pytest.raises(PluginError, match=r"pip install 'verifiers>=0\.4,<0\.5'"):
        PrimeIntellect(taskset="any")


@pytest.mark.skipif(REAL, reason="the package is installed")
@pytest.mark.parametrize(
    ("version", "source", "says"),
    [
        ("0.3.1", FAKE, "is written for verifiers>=0.4,<0.5, and 0.3.1 is installed"),
        ("0.4.0", "import rl_reason_no_such_module", "verifiers 0.4.0 cannot be imported: No module named"),
    ],
)
def test_a_package_that_will_not_do_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, source: str, says: str
) -> None:
    fake(tmp_path, version, source)
    monkeypatch.syspath_prepend(str(tmp_path))
    for _ in clean():
        with pytest.raises(PluginError, match=says):
            PrimeIntellect(taskset="rl_reason_toy")
