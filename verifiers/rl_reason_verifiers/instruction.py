"""`instruction`: right when the response follows every checkable instruction of its prompt, as IFEval defines them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._instructions import UnusableInstruction, bound, checks
from rl_reason_verifiers._language_id import LanguageId
from rl_reason_verifiers._options import one_of, text
from rl_reason_verifiers._thinking import part


class Instruction:
    """The response follows every instruction of its prompt: the 25 kinds of IFEval (arXiv 2311.07911).

    The instructions are in the prompt's metadata as in the data set itself: `instruction_id_list` is a list of ids such
    as "length_constraints:number_words", `kwargs` a list of as many objects such as {"num_words": 300, "relation":
    "at least"}. No reference answer is needed. What each instruction demands, and how words and sentences are counted,
    is said in `_instructions_wording`, `_instructions_layout` and `_sentences`; nothing is downloaded.

    RIGHT means that all of them are followed. The score's parts have the paper's accuracies of this response:
    `strict_prompt` (1 when all are followed), `strict_instruction` (the share that is), and with mode "loose" also
    `loose_prompt` and `loose_instruction`. An empty response follows nothing. An instruction that is unknown, or whose
    arguments are not those it needs, makes the response could-not-judge: nothing passes unchecked.

    Args:
        mode: "strict" judges the answer as it is. "loose" is the paper's second accuracy: an instruction is followed
            if it is by the answer, or by it without its first line, its last line, or both, each also without any
            asterisks; this forgives an introduction, a farewell and Markdown.
        reward: "prompt": 1 when all are followed, else 0; "instruction": the share of them that are.
        close_tag: ends the chain of thought; only what follows the last one is judged. Everything, if it is absent.
    """

    needs: ClassVar[tuple[str, ...]] = ("metadata:instruction_id_list", "metadata:kwargs", "package:py3langid")
    example: ClassVar[dict[str, Any]] = {
        "response": "so be it, in three lines",
        "instruction_id_list": ["length_constraints:number_words", "change_case:english_lowercase"],
        "kwargs": [{"num_words": 3, "relation": "at least"}, {}],
    }

    def __init__(self, *, mode: str = "strict", reward: str = "prompt", close_tag: str = "</think>") -> None:
        self._loose = one_of("mode", mode, ("strict", "loose")) == "loose"
        self._by_instruction = one_of("reward", reward, ("prompt", "instruction")) == "instruction"
        self._close_tag = text("close_tag", close_tag, empty=False)
        self._known = checks(LanguageId())

    def verify(self, prompt: Prompt, response: str) -> Score:
        """UNJUDGED when the metadata lists no instructions, or one that cannot be judged."""
        try:
            instructions = self._instructions(prompt)
        except UnusableInstruction as error:
            return Score(Verdict.UNJUDGED, None, reason=str(error))
        answer = part(response, close_tag=self._close_tag).answer.strip()
        faults = {name: check(answer) if answer else "the answer is empty" for name, check in instructions}
        parts = {"instruction": 0.0} | _accuracies("strict", list(faults.values()))
        if self._loose:
            for name, check in instructions:
                if faults[name] and any(not check(variant) for variant in _variants(answer)):
                    faults[name] = ""
            parts |= _accuracies("loose", list(faults.values()))
        right = not any(faults.values())
        followed = sum(not fault for fault in faults.values()) / len(faults)
        value = followed if self._by_instruction else float(right)
        reason = "; ".join(f"{name.partition(' ')[0]}: {fault}" for name, fault in faults.items() if fault)
        return Score(Verdict.RIGHT if right else Verdict.WRONG, value, parts | {"instruction": value}, reason)

    def _instructions(self, prompt: Prompt) -> list[tuple[str, Callable[[str], str]]]:
        """A name that is unique, and the check, of each instruction.

        Raises:
            UnusableInstruction: there are none, or one cannot be judged.
        """
        ids, arguments = prompt.metadata.get("instruction_id_list"), prompt.metadata.get("kwargs")
        if not isinstance(ids, list | tuple) or not ids:
            raise UnusableInstruction("metadata must have instruction_id_list, a list of ids that is not empty")
        if not isinstance(arguments, list | tuple) or len(arguments) != len(ids):
            raise UnusableInstruction(f"metadata must have kwargs, a list of {len(ids)} objects, one for each id")
        pairs = zip(ids, arguments, strict=True)
        return [(f"{name} {at}", bound(self._known, name, given)) for at, (name, given) in enumerate(pairs)]


def _variants(answer: str) -> Iterator[str]:
    """What the loose mode judges beside the answer itself; empty ones left out."""
    lines = answer.split("\n")
    for kept in (lines, lines[1:], lines[:-1], lines[1:-1]):
        shorter = "\n".join(kept).strip()
        for variant in (shorter, shorter.replace("*", "")):
            if variant.strip() and variant != answer:
                yield variant


def _accuracies(mode: str, faults: Sequence[str]) -> dict[str, float]:
    followed = sum(not fault for fault in faults)
    return {f"{mode}_prompt": float(followed == len(faults)), f"{mode}_instruction": followed / len(faults)}
