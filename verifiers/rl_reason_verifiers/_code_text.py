"""The program in a response: its last fenced block, or all of it where there is none."""

from __future__ import annotations

import ast
import re

from rl_reason.sandbox import ALIASES, LANGUAGES

_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([^\s`{]*)[^\n`]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_THOUGHT_ENDS = "</think>"
_MAX_CHARS = 200_000


def find_code(response: str, wanted: str) -> tuple[str, str]:
    """(language, source) of the last fenced block after the thought; source is empty when there is none.

    Args:
        response: hostile text.
        wanted: the language that is expected; empty: what the block's tag says, or Python.
    """
    answer = response.rpartition(_THOUGHT_ENDS)[2]
    blocks = [(_language(tag), body) for _, tag, body in _FENCE.findall(answer[-_MAX_CHARS:])]
    if blocks:
        languages = (wanted, "") if wanted else (*LANGUAGES, "")
        fitting = [block for block in blocks if block[0] in languages] or blocks
        language, body = fitting[-1]
        return wanted or (language if language in LANGUAGES else "python"), body
    if (wanted or "python") != "python":
        return wanted, answer
    return "python", answer if parses(answer) else ""


def parses(source: str) -> bool:
    """Whether it is Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return bool(tree.body)


def defines(source: str, name: str) -> bool:
    """Whether a Python source binds a name at its top level; False where it cannot be parsed."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return True
        if isinstance(node, ast.Import | ast.ImportFrom) and any((a.asname or a.name) == name for a in node.names):
            return True
    return False


def _language(tag: str) -> str:
    word = tag.lower().strip("{}.")
    return ALIASES.get(word, word)
