"""Typhoon2-R1 in small (arXiv 2502.09056): a language model, a reasoning model, and what SFT and merging each bring.

    python benchmarks/typhoon2.py OUT [--seed 0]

The paper's actors, made here from nothing, about a million parameters each, 8 layers:

- base: pretrained on two tasks in English and Thai, short answers and a few chains of thought (Llama 3.1);
- typhoon: the base, tuned to answer in the prompt's language (Typhoon2 70B Instruct);
- reasoner: the base, tuned on chains of thought, English with one Thai question in twenty, of whose answers a fifth are
  Thai (DeepSeek R1 70B Distill: 19%).

As in Llama 3.1 70B, the head is not the embedding, so that a merge by layers gives it the last layer's share.

Tasks: sums of seven to ten numbers, which take reasoning (AIME, MATH-500, LiveCodeBench), and digits to be written
backwards, which take none (IFEval, MT-Bench). Then the paper's tables: merges M1, M2, M3 of the reasoner with typhoon
tuned on mix v1, mixes v2 to v4 with M3, merging without SFT, SFT without merging. A mix is the paper's table 6 at a
tenth of its size: English traces, the same translated with the thought left in English, thoughts on general questions
in Thai, general questions without thoughts. Columns as in the paper: accuracy on the general task and on sums, both in
English and Thai; language accuracy (of answers to Thai prompts) by the verifier `language`; think accuracy by the part
`thinks` of `format`; their mean. Stages and evaluations are runs of their own below OUT: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LAYERS = 8
ENGLISH, THAI = "en", "th"
SUM = {ENGLISH: "Calculate: ", THAI: "จงคำนวณ: "}
BACKWARDS = {ENGLISH: "Write these digits backwards: ", THAI: "จงเขียนตัวเลขเหล่านี้กลับหลัง: "}
ANSWER = {ENGLISH: ("The final answer", " to this question", " is "), THAI: ("คำตอบสุดท้าย", "ของคำถามข้อนี้", "คือ ")}
WORDS = [*SUM.values(), *BACKWARDS.values(), *ANSWER[ENGLISH], *ANSWER[THAI], "\\boxed{"]
MIXES = {  # the paper's table 6, in hundreds: traces, the same translated, thoughts on general questions, none
    "v1": {"traces_en": 1700, "traces_th": 200},
    "v2": {"traces_en": 1700, "traces_th": 650},
    "v3": {"traces_en": 1700, "traces_th": 650, "thoughts_th": 50},
    "v4": {"traces_en": 1700, "traces_th": 650, "thoughts_th": 50, "general_en": 1000, "general_th": 1000},
}
SHARES = {  # of the reasoner, over the depth; M3 turns at layer 53 of 80
    "M1": {0: 0.25, LAYERS - 1: 0.25},
    "M2": {0: 0.75, LAYERS - 1: 0.75},
    "M3": {0: 0.75, round(53 / 79 * (LAYERS - 1)): 0.75, LAYERS - 1: 0.125},
}
ROWS = [  # (name, mix that typhoon is tuned on, merge with the reasoner)
    ("typhoon", None, None),
    ("reasoner", None, None),
    *[(f"SFT v1 + {merge}", "v1", merge) for merge in SHARES],
    *[(f"SFT {mix} + M3", mix, "M3") for mix in ("v2", "v3", "v4")],
    ("merge alone (M3)", None, "M3"),
    ("SFT alone (v3)", "v3", None),
]


@dataclass(frozen=True)
class Question:
    """One problem, in either language."""

    kind: str
    text: str
    thought: str
    answer: str

    def prompt(self, language: str) -> str:
        """What the user asks."""
        return {"sum": SUM, "backwards": BACKWARDS}[self.kind][language] + self.text

    def response(self, language: str, *, thinks: bool) -> str:
        """The answer in a language; the thought, if any, is the same in both: left untranslated, as in the paper."""
        thought = f"<think>{self.thought}</think>" if thinks else ""
        return f"{thought}{''.join(ANSWER[language])}\\boxed{{{self.answer}}}"


def a_sum(rng: random.Random) -> Question:
    """Seven to ten one-digit numbers; the thought adds one a step."""
    terms = [rng.choice((1, -1)) * rng.randint(1, 9) for _ in range(rng.randint(7, 10))]
    terms[0] = abs(terms[0])
    total, steps = terms[0], []
    for term in terms[1:]:
        steps.append(f"{total}{term:+d}={total + term}.")
        total += term
    return Question("sum", "".join(f"{term:+d}" for term in terms).removeprefix("+"), " ".join(steps), str(total))


def backwards(rng: random.Random) -> Question:
    """Four to six digits; the thought spells them."""
    digits = [str(rng.randint(1, 9)) for _ in range(rng.randint(4, 6))]
    return Question("backwards", "".join(digits), " ".join(reversed(digits)), "".join(reversed(digits)))


def main() -> None:
    """Make the data, run what is not there yet, print the table."""
    parser = argparse.ArgumentParser(description="Typhoon2-R1 in small: SFT, merging, and both")
    parser.add_argument("out", type=Path, help="folder of all runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["models"], help="stop before SFT and merging")
    given = parser.parse_args()
    world = World(given.out.resolve(), given.seed)
    world.write_data()
    world.tune("base", None, ["pretraining"], steps=2000, rate=2e-3)
    world.tune("typhoon", "base", ["general_en", "general_th", "sums_en", "sums_th"], steps=400, rate=5e-4)
    world.tune("reasoner", "base", ["reasoning"], steps=800, rate=5e-4)
    if given.only is None:
        for mix in MIXES:
            world.tune(f"typhoon-{mix}", "typhoon", MIXES[mix], steps=300, rate=5e-4)
    rows = ROWS[:2] if given.only else ROWS
    table = {name: world.evaluated(name, mix, merge) for name, mix, merge in rows}
    (given.out / "table.json").write_text(json.dumps(table, indent=1))
    print_table(table)


@dataclass(frozen=True)
class World:
    """All models and evaluations, in one folder."""

    out: Path
    seed: int

    def write_data(self) -> None:
        """Files of demonstrations and held-out problems."""
        rng = random.Random(self.seed)
        data = self.out / "data"
        data.mkdir(parents=True, exist_ok=True)
        held = [a_sum(rng) for _ in range(200)] + [backwards(rng) for _ in range(200)]
        asked = {question.text for question in held}

        def fresh(make: Any, count: int) -> Iterator[Question]:
            while count:
                if (question := make(rng)).text not in asked:
                    count -= 1
                    yield question

        for language in (ENGLISH, THAI):
            lines = [
                {
                    "id": f"{one.kind}-{number}",
                    "prompt": one.prompt(language),
                    "answer": one.answer,
                    "language": language,
                }
                for number, one in enumerate(held)
            ]
            self._write(f"heldout_{language}", lines)
            made = {
                "sums": [(one, False) for one in fresh(a_sum, 8000)],
                "general": [(one, False) for one in fresh(backwards, 8000)],
                "traces": [(one, True) for one in fresh(a_sum, 8000)],
                "thoughts": [(one, True) for one in fresh(backwards, 1000)],
            }
            for name, pairs in made.items():
                self._write(f"{name}_{language}", [shown(one, language, thinks) for one, thinks in pairs])
        mixed = [(language, make, rng.random()) for language in (ENGLISH, THAI)
                 for make in (a_sum, backwards) for _ in range(16_000)]  # fmt: skip
        self._write("pretraining", [
            shown(next(fresh(make, 1)), language, thinks=language == ENGLISH and chance < 0.25)
            for language, make, chance in mixed
        ])  # fmt: skip
        self._write("reasoning", [
            {
                **shown(one, THAI if chance < 0.01 else ENGLISH, thinks=True),
                "prompt": one.prompt(THAI if chance < 0.05 else ENGLISH),
            }
            for language, make, chance in mixed if language == ENGLISH for one in fresh(make, 1)
        ])  # fmt: skip

    def tune(self, name: str, parent: str | None, files: Any, *, steps: int, rate: float) -> None:
        """An sft stage of its own, unless it has been run."""
        counts = files if isinstance(files, dict) else dict.fromkeys(files)
        traces = [
            {"kind": "jsonl", "path": f"{self.out}/data/{file}.jsonl", "count": count} for file, count in counts.items()
        ]
        stage = {"kind": "sft", "traces": traces, "steps": steps, "batch_sequences": 32,
                 "optimizer": {"learning_rate": rate, "betas": [0.9, 0.99], "warmup_fraction": 0.05}}  # fmt: skip
        self._run(name, {**self._common(None if parent is None else self.model(parent)), "stages": [stage]})

    def evaluated(self, name: str, mix: str | None, merge: str | None) -> dict[str, float]:
        """Its columns."""
        tuned = name if name in ("typhoon", "reasoner") else "typhoon" if mix is None else f"typhoon-{mix}"
        label = name.replace(" ", "-").replace("+", "and").replace("(", "").replace(")", "")
        model = self.model(tuned) if merge is None else self._merged(label, tuned, merge)
        found = {language: self._evaluation(label, model, language) for language in (ENGLISH, THAI)}
        columns = {}
        for kind in ("backwards", "sum"):
            for language, result in found.items():
                rows = [row for row in result["table"] if row["id"].startswith(kind)]
                columns[f"{kind} {language}"] = sum(row["right"] for row in rows) / len(rows)
        columns["lang"] = found[THAI]["verifiers"]["eval/verifier/language/right_fraction"]
        thinks = [result["verifiers"]["eval/verifier/format/thinks_mean"] for result in found.values()]
        columns["think"] = sum(thinks) / 2
        columns["avg"] = sum(columns.values()) / len(columns)
        return columns

    def model(self, name: str) -> Path:
        """The folder of a tuned model."""
        return self.out / name / "model"

    def _merged(self, label: str, tuned: str, merge: str) -> Path:
        folder = self.out / "merged" / label
        if not folder.exists():
            shares = SHARES[merge]
            recipe = {
                "merge_method": "linear",
                "models": [
                    {"model": str(self.model("reasoner")), "parameters": {"weight": {"by_layer": shares}}},
                    {"model": str(self.model(tuned)),
                     "parameters": {"weight": {"by_layer": {layer: 1 - share for layer, share in shares.items()}}}},
                ],
            }  # fmt: skip
            path = self.out / f"{label}.yaml"
            path.write_text(yaml.safe_dump(recipe, sort_keys=False))
            rl_reason("merge", str(path), "--out", str(folder))
        return folder

    def _evaluation(self, label: str, model: Path, language: str) -> dict[str, Any]:
        stage = {"kind": "eval", "name": "held-out", "responses_per_prompt": 1, "sampling": {"max_new_tokens": 128}}
        recipe = {**self._common(model), "stages": [stage]}
        recipe["data"]["heldout"] = [{"kind": "jsonl", "path": f"{self.out}/data/heldout_{language}.jsonl"}]
        self._run(f"evaluations/{label}-{language}", recipe)
        (path,) = (self.out / "evaluations" / f"{label}-{language}").glob("stages/*/result.json")
        return json.loads(path.read_text())["greedy"]

    def _common(self, model: Path | None) -> dict[str, Any]:
        scratch = {
            "architecture": "qwen2", "hidden_size": 128, "layers": LAYERS, "heads": 4, "kv_heads": 2,
            "intermediate_size": 256, "max_position_embeddings": 256, "tied_embeddings": False, "words": WORDS,
        }  # fmt: skip
        return {
            "name": "typhoon2", "seed": self.seed,
            "model": {"scratch": scratch} if model is None else {"path": str(model)},
            "data": {"max_prompt_tokens": 64},
            "engine": {"kind": "vllm", "count": 2, "max_concurrent": 128, "max_context_tokens": 224, "dtype": "float32",
                       "kv_cache_gib": 0.25},
            "learner": {"ranks": 2, "dtype": "float32", "zero_stage": 0, "micro_batch_tokens": 8192},
            "rewards": {
                "verifiers": [
                    {"name": "boxed_math"},
                    {"name": "language", "weight": 0, "options": {"language": "metadata", "short": "wrong"}},
                    {"name": "format", "weight": 0},
                ],
                "workers": 1,
            },
        }  # fmt: skip

    def _run(self, name: str, recipe: dict[str, Any]) -> None:
        path = self.out / "recipes" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
        if not (self.out / name / "report.html").exists():
            print(f"--- {name}", file=sys.stderr, flush=True)
            rl_reason("run", str(path), "--out", str(self.out / name))

    def _write(self, name: str, lines: list[dict[str, str]]) -> None:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (self.out / "data" / f"{name}.jsonl").write_text(text)


def shown(question: Question, language: str, thinks: bool) -> dict[str, str]:
    """A demonstration."""
    return {"prompt": question.prompt(language), "response": question.response(language, thinks=thinks)}


def rl_reason(*words: str) -> None:
    """The command, in a process of its own."""
    subprocess.run([str(Path(sys.executable).with_name("rl-reason")), *words], check=True, stdout=subprocess.DEVNULL)


def print_table(table: dict[str, dict[str, float]]) -> None:
    """As a page of docs has it."""
    columns = list(next(iter(table.values())))
    print("| model |", " | ".join(columns), "|")
    print("|", " | ".join(["---"] * (1 + len(columns))), "|")
    for name, values in table.items():
        print(f"| {name} |", " | ".join(f"{100 * values[column]:.1f}" for column in columns), "|")


if __name__ == "__main__":
    main()
