"""Snapshots of global state: every kind of change is seen, and nothing else."""

from __future__ import annotations

import decimal
import gc
import os
import random
import resource
import signal
import sys
import threading
from types import ModuleType

import numpy as np
import pytest

from rl_reason.rewards.process_state import differences, open_files, resident_bytes, snapshot

CHANGES = {
    "the working directory": ("os.chdir('/')", "os.chdir(here)"),
    "the environment (os.environ)": ("os.environ['RL_REASON_T'] = '1'", "del os.environ['RL_REASON_T']"),
    "a signal handler": ("signal.signal(signal.SIGUSR2, print)", "signal.signal(signal.SIGUSR2, signal.SIG_DFL)"),
    "an alarm (signal.setitimer)": ("signal.setitimer(1, 1e6)", "signal.setitimer(1, 0)"),
    "the recursion limit": ("sys.setrecursionlimit(limit + 7)", "sys.setrecursionlimit(limit)"),
    "the limit on digits (sys.set_int_max_str_digits)": (
        "sys.set_int_max_str_digits(9999)",
        "sys.set_int_max_str_digits(digits)",
    ),
    "the state of the module random": ("random.random()", "random.setstate(state)"),
    "the state of numpy.random": ("np.random.random()", "np.random.set_state(np_state)"),
    "the decimal context": ("decimal.getcontext().prec = 7", "decimal.getcontext().prec = precision"),
    "sys.path": ("sys.path.append('/nowhere')", "sys.path.pop()"),
    "the umask": ("os.umask(0o123)", "os.umask(mask)"),
    "a resource limit": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (files[0] - 1, files[1]))",
        "resource.setrlimit(resource.RLIMIT_NOFILE, files)",
    ),
    "the garbage collector's settings": ("gc.set_threshold(701, 11, 11)", "gc.set_threshold(*thresholds)"),
    "numpy's handling of floating-point errors": ("np.seterr(divide='ignore')", "np.seterr(**errors)"),
}


def scope() -> dict[str, object]:
    """What the snippets above need, and the values to restore."""
    mask = os.umask(0)
    os.umask(mask)
    modules = {"os": os, "sys": sys, "signal": signal, "random": random, "np": np, "gc": gc}
    return modules | {
        "decimal": decimal,
        "resource": resource,
        "here": os.getcwd(),
        "limit": sys.getrecursionlimit(),
        "digits": sys.get_int_max_str_digits(),
        "state": random.getstate(),
        "np_state": np.random.get_state(),
        "precision": decimal.getcontext().prec,
        "mask": mask,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "thresholds": gc.get_threshold(),
        "errors": np.geterr(),
    }


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen_and_its_undoing_is_seen_as_none(what: str) -> None:
    names = scope()
    change, undo = CHANGES[what]
    before = snapshot("rl_reason_no_such_package")
    exec(change, names)
    try:
        assert differences(before, snapshot("rl_reason_no_such_package")) == [f"changed {what}"]
    finally:
        exec(undo, names)
    assert differences(before, snapshot("rl_reason_no_such_package")) == []


def test_a_thread_and_a_stream_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot("none")
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert differences(before, snapshot("none")) == ["changed the running threads"]
    finally:
        stop.set()
        thread.join()
    monkeypatch.setattr(sys, "stdin", None)
    assert differences(before, snapshot("none")) == ["changed sys.stdout, sys.stderr or sys.stdin"]


SOURCE = """
import os
COUNT, WORD, NONE = 0, "a", None
LIST, DICT, SET, DEEP = [1], {"a": 1}, {1}, {"a": [{"b": [1]}]}
OBJECT = object()
class Kind:
    calls = 0
    shared = {}
    def method(self): ...
def function(): ...
"""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("rl_reason_made_up.inner")
    exec(SOURCE, vars(made))
    monkeypatch.setitem(sys.modules, "rl_reason_made_up.inner", made)
    return made


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("COUNT += 1", "COUNT"),
        ("WORD = 'b'", "WORD"),
        ("NONE = 0", "NONE"),
        ("LIST.append(2)", "LIST"),
        ("LIST[0] = 2", "LIST"),
        ("LIST = [1]", "LIST"),
        ("DICT['b'] = 1", "DICT"),
        ("SET.add(2)", "SET"),
        ("DEEP['a'][0]['b'] = 2", "DEEP"),
        ("OBJECT = object()", "OBJECT"),
        ("Kind.calls += 1", "Kind.calls"),
        ("Kind.shared['a'] = 1", "Kind.shared"),
        ("NEW = 1", "NEW"),
        ("del WORD", "WORD"),
        ("function = print", "function"),
    ],
)
def test_changed_globals_are_named(module: ModuleType, change: str, name: str) -> None:
    before = snapshot("rl_reason_made_up")
    exec(change, vars(module))
    assert differences(before, snapshot("rl_reason_made_up")) == [f"changed rl_reason_made_up.inner.{name}"]


def test_late_imports_and_other_packages_are_no_change(module: ModuleType) -> None:
    before = snapshot("rl_reason_made_up")
    exec("import json; __warningregistry__ = {}", vars(module))
    assert differences(before, snapshot("rl_reason_made_up")) == []
    exec("COUNT += 1", vars(module))
    assert differences(snapshot("rl_reason_made"), snapshot("rl_reason_made")) == []


def test_files_and_memory_are_counted() -> None:
    before = open_files()
    with open(os.devnull):
        assert open_files() == before + 1
    assert open_files() == before
    assert 2**20 < resident_bytes() < 2**40 and resident_bytes(os.getpid()) > 2**20
