"""Runs untrusted programs without a container engine: namespaces, Landlock, seccomp, limits, a warm fork-server."""

from rl_reason.sandbox.functions import Answer, Call, HarnessVerdict, call_all, judge
from rl_reason.sandbox.inside.plain_data import NotPlainData
from rl_reason.sandbox.languages import ALIASES, COMPILE_LIMITS, LANGUAGES, Program, missing_tool, prepare
from rl_reason.sandbox.levels import Level, missing
from rl_reason.sandbox.records import Execution, Job, Limits, Status
from rl_reason.sandbox.running import Running
from rl_reason.sandbox.sandbox import Sandbox, drive

__all__ = [
    "ALIASES",
    "COMPILE_LIMITS",
    "LANGUAGES",
    "Answer",
    "Call",
    "Execution",
    "HarnessVerdict",
    "Job",
    "Level",
    "Limits",
    "NotPlainData",
    "Program",
    "Running",
    "Sandbox",
    "Status",
    "call_all",
    "drive",
    "judge",
    "missing",
    "missing_tool",
    "prepare",
]
