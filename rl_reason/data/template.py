"""Text with `{{places}}`: read, checked, and cut into pieces that are filled in one pass; and the shipped ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rl_reason.errors import DataError

CLASSIC, JUDGE = (Path(__file__).parent / "templates" / f"{name}.txt" for name in ("classic", "judge"))
"""What a classic reward model reads, and what a chain-of-thought judge is asked, unless a recipe says otherwise."""
PLACES = ("question", "reference", "response")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text with the places `{{question}}`, `{{reference}}` and `{{response}}`.

    Args:
        text: as written in the file.
        origin: the file, for messages.

    Raises:
        DataError: a place is unknown, missing (`{{reference}}` may be) or there twice.
    """

    text: str
    origin: str = "template"

    def __post_init__(self) -> None:
        found = _PLACE.findall(self.text)
        unknown = sorted(set(found) - set(PLACES))
        missing = [name for name in ("question", "response") if name not in found]
        twice = sorted({name for name in found if found.count(name) > 1})
        for names, what in ((unknown, "has unknown places"), (missing, "lacks"), (twice, "has more than once")):
            if names:
                places = ", ".join(f"{{{{{name}}}}}" for name in names)
                wanted = ", ".join(f"{{{{{name}}}}}" for name in PLACES)
                raise DataError(f"{self.origin} {what} {places}; a template has {wanted}, each once")

    @property
    def pieces(self) -> list[tuple[str, str]]:
        """In order: ("", literal text), or (place, ""). What is put in a place is never looked through for places."""
        parts = _PLACE.split(self.text)
        return [(part, "") if index % 2 else ("", part) for index, part in enumerate(parts) if part]


def read_template(path: Path) -> Template:
    """A template from a UTF-8 file, white space at its end removed.

    Raises:
        DataError: it cannot be read, or its places are wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the template {path}: {error}") from error
    return Template(text.rstrip(), str(path))
