"""Writes the README's map of files from module docstrings, and its quote of the loop; --check only compares."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def summary(path: Path) -> str:
    """First line of a module's docstring, its final stop removed."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    if not docstring:
        raise SystemExit(f"{path.relative_to(ROOT)} has no docstring: say in its first line what it is for")
    return docstring.splitlines()[0].rstrip(".")


def file_map() -> str:
    """The tree of both packages, a line a file."""
    lines = []
    for package in (ROOT / "rl_reason", ROOT / "verifiers" / "rl_reason_verifiers"):
        lines.append(f"{package.relative_to(ROOT)}/")
        lines += [
            f"  {path.name:<26}{summary(path)}" for path in sorted(package.glob("*.py")) if "__init__" not in path.name
        ]
        for folder in sorted({path.parent for path in package.rglob("*.py")} - {package}):
            lines.append(f"  {str(folder.relative_to(package)) + '/':<26}{summary(folder / '__init__.py')}")
            lines += [
                f"    {path.name:<24}{summary(path)}"
                for path in sorted(folder.glob("*.py"))
                if "__init__" not in path.name
            ]
    return "```\n" + "\n".join(lines) + "\n```"


def loop_quote() -> str:
    """The body of `train` in loop.py, as it stands."""
    source = (ROOT / "rl_reason" / "loop.py").read_text()
    function = next(
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "train"
    )
    body = source.splitlines()[function.lineno - 1 : function.end_lineno]
    return "```python\n" + "\n".join(body) + "\n```"


def rendered(readme: str) -> str:
    """The README with both parts between their markers written anew."""
    for name, text in (("map", file_map()), ("loop", loop_quote())):
        begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- end of {name} -->"
        if begin not in readme or end not in readme:
            raise SystemExit(f"README.md lacks the markers {begin} … {end}")
        before, rest = readme.split(begin, 1)
        readme = f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}"
    return readme


def main() -> None:
    """Write, or with --check compare."""
    now = README.read_text()
    wanted = rendered(now)
    if "--check" in sys.argv:
        if now != wanted:
            raise SystemExit("README.md: the map of files or the quoted loop is not that of the code; run `make docs`")
    elif now != wanted:
        README.write_text(wanted)


if __name__ == "__main__":
    main()
