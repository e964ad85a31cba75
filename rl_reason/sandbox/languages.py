"""Programs in the languages whose tools the host has: compiled in the sandbox, then run in it, input by input."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rl_reason.sandbox.records import DEFAULT, Execution, Job, Limits, Status
from rl_reason.sandbox.sandbox import SEALS, Sandbox

_TOOL_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where the sandbox looks for tools too."""


@dataclass(frozen=True, slots=True)
class Language:
    """How a language's programs are compiled and run."""

    source_file: str = ""
    """Name of the source in the working folder. Empty: Python, which runs in the fork-server's own interpreter."""
    compile: tuple[str, ...] = ()
    """Leaves a file `artifact`. Empty: nothing to compile."""
    run: tuple[str, ...] = ()
    """`{memory_mib}` is filled in. The first word of a compiled program's is only what it is called."""
    artifact_file: str = ""
    """The artifact is put into the working folder under this name; empty: it is the program itself."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """What its run-time needs beyond the limits given."""


_GNU = ("-O2", "-pipe", "-o", "artifact")
_RUNTIME = {"bounded_address_space": False, "processes": 64, "open_files": 256}
LANGUAGES: Mapping[str, Language] = {
    "python": Language(),
    "cpp": Language("main.cpp", ("g++", "-std=gnu++17", *_GNU, "main.cpp"), ("./main",)),
    "c": Language("main.c", ("gcc", "-std=gnu17", *_GNU, "main.c", "-lm"), ("./main",)),
    "javascript": Language("main.js", (), ("node", "--max-old-space-size={memory_mib}", "main.js"), limits=_RUNTIME),
    "bash": Language("main.sh", (), ("bash", "main.sh")),
    "java": Language(
        "Main.java",
        ("sh", "-c", "javac -J-XX:+UseSerialGC -d out Main.java && jar cfe artifact Main -C out ."),
        ("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss64m", "-Xmx{memory_mib}m", "-jar", "main.jar"),
        artifact_file="main.jar",
        limits=_RUNTIME | {"sockets_fail": True},
    ),
}
ALIASES: Mapping[str, str] = {
    "py": "python", "python3": "python", "c++": "cpp", "cc": "cpp", "cxx": "cpp", "js": "javascript",
    "node": "javascript", "sh": "bash", "shell": "bash",
}  # fmt: skip
COMPILE_LIMITS = Limits(time_s=10.0, memory_mib=1024, processes=32, file_mib=64, folder_mib=128, open_files=256)


@dataclass(frozen=True, slots=True)
class Program:
    """A program that can be run; a context manager, which lets go of what was compiled."""

    payload: Mapping[str, Any]
    limits: Limits
    artifact: int = -1

    def job(self, stdin: bytes = b"") -> Job:
        """One run of it on one input."""
        return Job(self.payload, stdin, self.limits, artifact=self.artifact)

    def close(self) -> None:
        """Let go of the compiled file."""
        if self.artifact >= 0:
            os.close(self.artifact)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def missing_tool(language: str) -> str:
    """Name of a tool that the language needs and the host lacks; empty when all are there."""
    known = LANGUAGES[language]
    tools = [words[0] for words in (known.compile, known.run) if words and not words[0].startswith("./")]
    tools += ["javac", "jar"] if language == "java" else []
    return next((tool for tool in tools if shutil.which(tool, path=_TOOL_PATH) is None), "")


def prepare(
    sandbox: Sandbox,
    language: str,
    source: str,
    limits: Limits = DEFAULT,
    *,
    compile_limits: Limits = COMPILE_LIMITS,
) -> Program | Execution:
    """Compile where the language wants it: a program, or the execution that shows why there is none.

    Its status is COMPILE when the source is to blame, FAULT when a tool is missing, else what the compiler ran into.
    """
    known = LANGUAGES[language]
    limits = replace(limits, **known.limits)
    if not known.source_file:
        return Program({"kind": "python", "source": source}, limits)
    tool = missing_tool(language)
    if tool:
        return Execution(Status.FAULT, f"{language} needs {tool}, which is not on this host ({_TOOL_PATH})")
    files = {known.source_file: source}
    if not known.compile:
        return Program({"kind": "exec", "argv": _filled(known.run, limits), "files": files}, limits)
    job = Job({"kind": "exec", "argv": list(known.compile), "files": files}, b"", compile_limits, fetch=True)
    if known.limits:
        job = replace(job, limits=replace(compile_limits, **known.limits))
    compiled = sandbox.run(job)
    if compiled.status is Status.OK and os.fstat(compiled.artifact).st_size > 0:
        payload = {"kind": "exec", "argv": _filled(known.run, limits), "artifact_file": known.artifact_file}
        fcntl.fcntl(compiled.artifact, fcntl.F_ADD_SEALS, SEALS)  # no run of it can change it for the next
        return Program(payload, limits, compiled.artifact)
    if compiled.artifact >= 0:
        os.close(compiled.artifact)
    failed = compiled.status in (Status.ERROR, Status.OK)
    return replace(compiled, status=Status.COMPILE if failed else compiled.status, artifact=-1)


def _filled(words: Sequence[str], limits: Limits) -> list[str]:
    return [word.format(memory_mib=limits.memory_mib) for word in words]
