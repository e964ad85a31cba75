"""The forms in which a prompt may give its tests, read into three: input and output, calls, test code."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl_reason.sandbox import Call


class Malformed(ValueError):
    """Tests that cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class OutputCase:
    """A run of the program."""

    stdin: str
    expected: str


@dataclass(frozen=True, slots=True)
class CallCase:
    """A call of one of its functions."""

    call: Call
    expected: Any
    wrapped: bool = False
    """APPS wraps some expected values in a list of one: both are right."""


@dataclass(frozen=True, slots=True)
class TestCode:
    """Python that tests it."""

    __test__ = False

    tests: tuple[str, ...]
    setup: str = ""
    check: str = ""
    """Function of the tests that gets the candidate's."""
    entry_point: str = ""
    prompt: str = ""
    """Code that the response continues or repeats, when it is code."""


Cases = list[OutputCase] | list[CallCase] | TestCode


def read_cases(metadata: Mapping[str, Any], prompt_text: str) -> Cases:
    """The tests of a prompt.

    Raises:
        Malformed: none are there, or they are of no form that is known.
    """
    tests = metadata.get("tests")
    if isinstance(tests, str):
        tests = _from_text(tests, metadata)
    if tests is None and isinstance(metadata.get("test"), str):  # a row of HumanEval
        tests = {"test": metadata["test"], "entry_point": metadata.get("entry_point")}
    if tests is None and isinstance(metadata.get("test_list"), list):  # a row of MBPP
        tests = {"asserts": metadata["test_list"], "setup": metadata.get("test_setup_code", "")}
    if isinstance(tests, list):
        return _from_list(tests, str(metadata.get("entry_point") or ""))
    if isinstance(tests, Mapping):
        return _from_mapping(tests, prompt_text)
    raise Malformed("the prompt's metadata has no tests")


def _from_text(text: str, metadata: Mapping[str, Any]) -> Any:
    """Tests written as a string: JSON (as data sets store it) or test code."""
    try:
        return json.loads(text)
    except ValueError:
        return {"test": text, "entry_point": metadata.get("entry_point")}


def _from_list(tests: list[Any], entry_point: str) -> Cases:
    if not tests:
        raise Malformed("the list of tests is empty")
    if all(isinstance(test, str) for test in tests):
        return _code(TestCode(tuple(tests), entry_point=entry_point))
    if not all(isinstance(test, Mapping) for test in tests):
        raise Malformed("tests are a list of objects or of assert statements")
    if all("output" in test for test in tests):
        return [_output_case(test.get("input", ""), test["output"], n) for n, test in enumerate(tests)]
    return [_call_case(test, entry_point, n) for n, test in enumerate(tests)]


def _from_mapping(tests: Mapping[str, Any], prompt_text: str) -> Cases:
    if "inputs" in tests and "outputs" in tests:
        return _apps(tests)
    prompt = tests.get("prompt", prompt_text)
    if not isinstance(prompt, str):
        raise Malformed("tests.prompt must be a string")
    entry_point = tests.get("entry_point") or ""
    if not isinstance(entry_point, str):
        raise Malformed("tests.entry_point must be a string")
    setup = tests.get("setup", "")
    if not isinstance(setup, str):
        raise Malformed("tests.setup must be a string")
    if isinstance(tests.get("asserts"), list) and all(isinstance(one, str) for one in tests["asserts"]):
        return _code(TestCode(tuple(tests["asserts"]), setup, entry_point=entry_point, prompt=prompt))
    if isinstance(tests.get("test"), str):
        code = TestCode((tests["test"],), setup, "check" if entry_point else "", entry_point, prompt)
        return _code(code)
    raise Malformed(f"tests with the keys {sorted(map(str, tests))[:8]} are of no form that is known")


def _apps(tests: Mapping[str, Any]) -> Cases:
    inputs, outputs, name = tests["inputs"], tests["outputs"], tests.get("fn_name")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs) or not inputs:
        raise Malformed("tests.inputs and tests.outputs must be lists of one length, not empty")
    pairs = list(zip(inputs, outputs, strict=True))
    if name is None:
        return [_output_case(given, expected, n) for n, (given, expected) in enumerate(pairs)]
    if not isinstance(name, str) or not all(isinstance(given, list) for given in inputs):
        raise Malformed("with tests.fn_name every input is a list of arguments")
    return [CallCase(Call(name, tuple(given)), expected, wrapped=True) for given, expected in pairs]


def _output_case(given: Any, expected: Any, number: int) -> OutputCase:
    texts = ["\n".join(text) if _lines(text) else text for text in (given, expected)]
    if not all(isinstance(text, str) for text in texts):
        raise Malformed(f"test {number + 1}: input and output must be strings")
    return OutputCase(*texts)


def _lines(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


def _call_case(test: Mapping[str, Any], entry_point: str, number: int) -> CallCase:
    name, arguments, named = test.get("function", entry_point), test.get("args", []), test.get("kwargs", {})
    if not isinstance(name, str) or not name or not isinstance(arguments, list) or not isinstance(named, Mapping):
        raise Malformed(f'test {number + 1}: {{"function": name, "args": list, "kwargs": object, "expected": value}}')
    if "expected" not in test:
        raise Malformed(f"test {number + 1}: there is no expected value")
    return CallCase(Call(name, tuple(arguments), dict(named)), test["expected"])


def _code(code: TestCode) -> TestCode:
    if not code.tests:
        raise Malformed("the list of tests is empty")
    for text in (code.setup, *code.tests):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Malformed(f"test code that cannot be parsed: {error}") from error
    if code.check and not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
        return TestCode(code.tests, code.setup, "", code.entry_point, code.prompt)
    return code
