"""From a recipe and the models' headers to a plan. All that can be wrong is found here, before a weight is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rl_reason.errors import ConfigError, MergeError
from rl_reason.merging.architecture import decoder, restacked_config, with_heads
from rl_reason.merging.checkpoint import Tensor, open_checkpoint
from rl_reason.merging.dtypes import NAMES, STORED, common, rounding
from rl_reason.merging.methods.method import Parameter, Settings
from rl_reason.merging.parameters import EachLayer, Value, Where
from rl_reason.merging.plan import Output, Plan, Source
from rl_reason.merging.recipe import Input, Recipe, Slice, TokenizerChoice
from rl_reason.merging.tokenizers import (
    TEMPLATE,
    TOKENIZER,
    Tokenizer,
    Vocabulary,
    carried_files,
    differing,
    extended,
    tokenizer_of,
    united,
    usual_template,
)

_BEFORE, _AFTER = -1, -2


def plan_merge(recipe: Recipe, *, seed: int = 0) -> Plan:
    """Look at the models and settle every tensor.

    Raises:
        MergeError: a model is damaged, or the models do not fit together; the message names the tensor and both models.
        ConfigError: a value of the recipe does not fit the models.
    """
    return _Planner(recipe, seed).plan()


class _Planner:
    def __init__(self, recipe: Recipe, seed: int) -> None:
        self._recipe, self._seed = recipe, seed
        paths = [one.model for part in recipe.slices for one in part.inputs]
        base = [recipe.base] if recipe.base is not None and recipe.method.base != "none" else []
        wanted: dict[Path, None] = dict.fromkeys(base + paths)
        self._models, self._untied = with_heads({path: decoder(open_checkpoint(path)) for path in wanted})
        self._lead = self._models[recipe.base if recipe.base in self._models else paths[0]]
        self._tokenizers: dict[Path, Tokenizer] = {}
        self._tokenizer_folder = self._lead.checkpoint.folder
        self._texts: dict[str, str] = {}
        self._vocabulary = self._settle_tokenizer(recipe.tokenizer) if recipe.tokenizer is not None else None
        self._notes = recipe.notes
        if self._vocabulary is None and recipe.method.name != "passthrough":
            lead = self._lead.checkpoint.folder
            found = [differing(lead, other) for other in self._models if other != lead]
            self._notes += tuple(note for note in found if note is not None)
        if recipe.chat_template is not None:
            template = recipe.chat_template
            self._texts[TEMPLATE] = usual_template(list(self._models)) if template == "auto" else template

    def _settle_tokenizer(self, choice: TokenizerChoice) -> Vocabulary:
        """Whose the tokenizer is; its text where it is nobody's alone."""
        self._tokenizers = {one: tokenizer_of(one) for one in self._models}
        lead = self._lead.checkpoint.folder
        if isinstance(choice.source, Path):
            self._tokenizer_folder = choice.source
            if choice.source not in self._models:
                known = ", ".join(map(str, self._models))
                raise ConfigError(
                    f"{self._recipe.path}: the tokenizer's {choice.source} is none of the models: {known}"
                )
        taken = self._tokenizers[self._tokenizer_folder]
        others = [one for path, one in self._tokenizers.items() if path != lead]
        made = extended(united([taken, *others]) if choice.source == "union" else taken, list(choice.tokens))
        if made.tokens != taken.tokens:
            self._texts[TOKENIZER] = json.dumps(made.document, ensure_ascii=False, indent=1)
        return Vocabulary(made.tokens, choice.pad_to_multiple_of, choice.tokens)

    def plan(self) -> Plan:
        recipe = self._recipe
        self._same_architecture()
        first, last = recipe.slices[0], recipe.slices[-1]
        outputs = self._tensors(first, _BEFORE, "", depth=0.0, layer=0)
        taken: list[int] = []
        for part in recipe.slices:
            count = self._count(part)
            for layer in range(count):
                prefix, depth = f"{self._lead.stem}.{len(taken)}.", layer / (count - 1) if count > 1 else 1.0
                outputs += self._tensors(part, layer, prefix, depth=depth, layer=layer)
                taken.append((self._lead_input(part).layers or (0, 0))[0] + layer)
        outputs += self._tensors(last, _AFTER, "", depth=0.0, layer=self._count(last) - 1)  # 0: as mergekit has it
        rows = self._vocabulary.rows if self._vocabulary else None
        dtype = recipe.out_dtype or recipe.dtype
        lead, layers = self._lead.checkpoint, len(self._lead.layers)
        config = restacked_config(lead.config, taken, layers=layers, dtype=dtype, vocabulary=rows)
        named = self._models[self._tokenizer_folder].checkpoint.config
        config |= {key: one for key, one in named.items() if key.endswith("_token_id") and key in config}
        if self._untied:
            config["tie_word_embeddings"] = False
        checkpoints = tuple(one.checkpoint for one in self._models.values())
        files = carried_files(self._tokenizer_folder, remade=TOKENIZER in self._texts)
        files = {name: path for name, path in files.items() if name not in self._texts}
        return Plan(checkpoints, tuple(outputs), config, files, self._texts, recipe.text, self._seed, self._notes)

    def _same_architecture(self) -> None:
        lead = self._lead.checkpoint
        for one in self._models.values():
            if one.checkpoint.architecture != lead.architecture:
                raise MergeError(
                    f"{one.checkpoint.folder} is a {one.checkpoint.architecture} and {lead.folder} a "
                    f"{lead.architecture}: only models of one architecture can be merged"
                )

    def _count(self, part: Slice) -> int:
        counts: dict[str, int] = {}
        for one in (*part.inputs, self._lead_input(part)):
            has = len(self._models[one.model].layers)
            begin, end = one.layers or (0, has)
            if end > has:
                raise ConfigError(f"{self._recipe.path}: layer_range [{begin}, {end}]: {one.model} has {has} layers")
            counts[str(one.model)] = end - begin
        if len(set(counts.values())) > 1:
            raise MergeError(f"models of different depth: {counts}; give slices with the layers that belong together")
        return next(iter(counts.values()))

    def _tensors(self, part: Slice, which: int, prefix: str, *, depth: float, layer: int) -> list[Output]:
        """The outputs of one layer of a slice, or of what comes before or after the layers."""
        inputs, lead = self._inputs(part), self._lead_input(part)
        base = lead if self._has_base else None
        names = self._of(lead, which)
        outputs: list[Output] = []
        for name in names:
            tensors = [self._found(self._of(one, which), name, one, lead) for one in inputs]
            where = Where(prefix + name, depth, layer, self._count(part))
            outputs.append(self._output(where, part, inputs, tensors, names[name] if base else None))
        for one in inputs:
            more = sorted(set(self._of(one, which)) - set(names))
            if more:
                raise MergeError(f"{one.model} has the tensor {prefix}{more[0]} and {lead.model} has not")
        return outputs

    def _inputs(self, part: Slice) -> list[Input]:
        """The models of a slice, the base apart where the method has one."""
        return [one for one in part.inputs if self._recipe.method.base == "none" or one.model != self._recipe.base]

    @property
    def _has_base(self) -> bool:
        return self._recipe.method.base != "none" and self._recipe.base is not None

    def _lead_input(self, part: Slice) -> Input:
        """Whose tensors' names and config count in a slice: the base, or the first model."""
        return self._base_input(part) if self._has_base else part.inputs[0]

    def _of(self, one: Input, which: int) -> Mapping[str, Tensor]:
        model = self._models[one.model]
        if which == _BEFORE:
            return model.before
        return model.after if which == _AFTER else model.layers[(one.layers or (0, 0))[0] + which]

    def _base_input(self, part: Slice) -> Input:
        """The base's own entry in a slice; else it takes part with the layers of the first model."""
        assert self._recipe.base is not None
        own = next((one for one in part.inputs if one.model == self._recipe.base), None)
        if own is None and len({one.layers for one in part.inputs}) > 1:
            raise ConfigError(
                f"{self._recipe.path}: the models of a slice have different layer_ranges and the base model "
                f"{self._recipe.base} is not among its sources: add it, with the layers that belong there"
            )
        return own or Input(self._recipe.base, part.inputs[0].layers, {})

    def _found(self, tensors: Mapping[str, Tensor], name: str, one: Input, lead: Input) -> Tensor:
        if name not in tensors:
            raise MergeError(f"{one.model} lacks the tensor {name}, which {lead.model} has")
        return tensors[name]

    def _output(
        self, where: Where, part: Slice, inputs: Sequence[Input], tensors: Sequence[Tensor], base: Tensor | None
    ) -> Output:
        recipe, method = self._recipe, self._recipe.method
        everything = [*tensors, *([base] if base else [])]
        shape = self._shape(where, everything)
        if any(one.dtype not in STORED for one in everything):  # whole numbers, say: nothing to average
            odd = next((one for one in everything if one.dtype != everything[0].dtype), None)
            if odd is not None:
                first = everything[0]
                raise MergeError(
                    f"{where.name} is {first.dtype} in {first.path.parent} and {odd.dtype} in {odd.path.parent}"
                )
            return Output(
                where.name, shape, everything[0].dtype, None, (Source(everything[-1]),), None, Settings((), {})
            )
        dtype = NAMES[recipe.dtype] if recipe.dtype else common(one.dtype for one in everything)
        settings = Settings(
            tuple(
                self._values(
                    method.per_model,
                    replace(where, name=tensor.name),  # filters of a model's own numbers are about its own names
                    [one.parameters, part.parameters, recipe.parameters],
                    one,
                )
                for one, tensor in zip(inputs, tensors, strict=True)
            ),
            self._values(method.overall, where, [part.parameters, recipe.parameters], None),
            int.from_bytes(hashlib.sha256(f"{self._seed}\0{where.name}".encode()).digest()[:8], "little"),
            rounding(dtype),
        )
        out = NAMES[recipe.out_dtype] if recipe.out_dtype else dtype
        source = self._sources(where, everything)
        sources = tuple(source(one) for one in tensors)
        unchanged = method.name == "passthrough" and settings.per_model[0]["scale"] == 1 and out == tensors[0].dtype
        plain = unchanged and sources[0].rows is None
        return Output(
            where.name,
            shape,
            out,
            None if plain else method,
            sources,
            source(base) if base else None,
            settings,
        )

    def _shape(self, where: Where, tensors: Sequence[Tensor]) -> tuple[int, ...]:
        first = tensors[0]
        vocabulary = self._vocabulary
        if vocabulary and vocabulary.concerns(where.name) and len({tensor.shape[1:] for tensor in tensors}) == 1:
            return vocabulary.rows, *first.shape[1:]
        odd = next((tensor for tensor in tensors if tensor.shape != first.shape), None)
        if odd is None:
            return first.shape
        hint = ""
        if "embed" in where.name or "lm_head" in where.name:
            hint = ": vocabularies differ; set tokenizer_source: base (or to a model) to merge token by token"
        ours, theirs = f"{list(first.shape)} in {first.path.parent}", f"{list(odd.shape)} in {odd.path.parent}"
        raise MergeError(f"{where.name} is {ours} and {theirs}{hint}")

    def _sources(self, where: Where, tensors: Sequence[Tensor]) -> Callable[[Tensor], Source]:
        """How each tensor of a name goes into the result: by token, or as it is."""
        vocabulary = self._vocabulary
        if vocabulary is None or not vocabulary.concerns(where.name):
            return Source
        everyones = {path: one.by_name(where.name) for path, one in self._models.items()}
        having = {
            path: one for path, one in everyones.items() if one is not None and one.shape[1:] == tensors[0].shape[1:]
        }
        found = vocabulary.sources(having, self._tokenizers, self._recipe.base)
        return lambda tensor: found[tensor.path.parent]

    def _values(
        self, wanted: Mapping[str, Parameter], where: Where, given: Sequence[Mapping[str, Value]], one: Input | None
    ) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, parameter in wanted.items():
            said = None
            for values in given:
                if name in values and said is None:
                    said = self._at(values[name], where, name)
            if said is None and parameter.default is None:
                who = f" for {one.model}" if one else ""
                raise ConfigError(
                    f"{self._recipe.path}: {self._recipe.method.name} needs {name}{who} ({parameter.help}); "
                    f"none is given for {where.name}"
                )
            found[name] = said if said is not None else float(parameter.default or 0.0)
        return found

    def _at(self, one: Value, where: Where, name: str) -> float | None:
        if isinstance(one, EachLayer) and len(one.values) != where.layers:
            raise ConfigError(
                f"{self._recipe.path}: {name}: layers has {len(one.values)} values and the models {where.layers} layers"
            )
        return one.at(where)
