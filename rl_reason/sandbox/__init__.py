"""Runs untrusted programs without a container engine: namespaces, Landlock, seccomp, limits, a warm fork-server.

What decides is never where the program is. Its process gets a source, an input and pipes to write to; expected outputs
and values stay with the grader, which compares plain data afterwards, or with tests in a second sandboxed process that
shares one pair of pipes with it. How it ended is told by process 1 of its process namespace, which runs none of its
code and cannot be read, written or signalled by it, and whose end is the end of every process of the namespace. The
fork-server that starts it has never seen a program or a test. docs/sandbox.md has levels, limits and what is left out.
"""

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
