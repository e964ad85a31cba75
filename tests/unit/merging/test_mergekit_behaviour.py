"""What mergekit 0.1.5 does with a recipe, as measured: `linear` of models of zeros and ones shows every number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from rl_reason.errors import ConfigError, MergeError
from rl_reason.merging.plan import Plan
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.recipe import read_recipe

LAYERS = 8
ENDS = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")


def make_model(
    folder: Path, dtype: str = "float32", *, layers: int = LAYERS, vocabulary: int = 6, **config: Any
) -> None:
    folder.mkdir(parents=True)
    shapes = {
        "model.embed_tokens.weight": (vocabulary, 4),
        "model.norm.weight": (4,),
        "lm_head.weight": (vocabulary, 4),
    }
    for layer in range(layers):
        at = f"model.layers.{layer}."
        shapes |= {f"{at}self_attn.{name}_proj.weight": (4, 4) for name in "qo"}
        shapes |= {f"{at}mlp.down_proj.weight": (4, 4), f"{at}input_layernorm.weight": (4,)}
    if config.get("tie_word_embeddings"):
        del shapes["lm_head.weight"]
    save_file({name: np.ones(shape, dtype) for name, shape in shapes.items()}, folder / "model.safetensors")
    whole = {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": layers, "vocab_size": vocabulary} | config
    (folder / "config.json").write_text(json.dumps(whole))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("zero", "one", "two"):
        make_model(tmp_path / name)
    return tmp_path


def planned(folder: Path, text: str) -> Plan:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return plan_merge(read_recipe(path))


def numbers(plan: Plan, name: str, model: int | None = 1) -> dict[str, float]:
    """Tensor -> a parameter of the model with that number, or of the merge as a whole."""
    return {
        output.name: float(output.settings.overall[name] if model is None else output.settings.per_model[model][name])
        for output in plan.outputs
    }


def of_layers(found: dict[str, float], tensor: str) -> list[float]:
    """Of one tensor in all layers, rounded as mergekit's output was read."""
    named = f".{tensor}.weight"
    return [round(one, 4) for name, one in found.items() if name.endswith(named) and "layers." in name]


def one_of_two(weight: str) -> str:
    head = "merge_method: linear\nmodels:\n- {model: zero, parameters: {weight: 0.0}}\n- model: one\n  parameters:\n"
    return f"{head}    weight: {weight}\n"


def test_a_gradient_spans_the_layers_and_begins_with_the_ends(models: Path) -> None:
    found = numbers(planned(models, one_of_two("[2, 3]")), "weight")
    assert of_layers(found, "q_proj") == [2.0, 2.1429, 2.2857, 2.4286, 2.5714, 2.7143, 2.8571, 3.0]
    assert [found[name] for name in ENDS] == [2.0, 2.0, 2.0]


def test_a_gradient_in_a_filter(models: Path) -> None:
    text = one_of_two("[{filter: mlp, value: [10, 20, 40]}, {filter: lm_head, value: 7}, {value: [0, 1]}]")
    found = numbers(planned(models, text), "weight")
    assert of_layers(found, "down_proj") == [10, 12.8571, 15.7143, 18.5714, 22.8571, 28.5714, 34.2857, 40]
    assert [found[name] for name in ENDS] == [0.0, 0.0, 7.0]


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (
            "[{filter: layers.1., value: 3}, {filter: q_proj, value: 4}, {filter: '*', value: 6}, {value: 8}]",
            (4, 6, 3, 6),
        ),
        ("[{filter: 'self_at+n', value: 99}, {value: 8}]", (8, 8, 8, 8)),  # a part of a name, not a pattern
        ("[{value: 8}, {filter: mlp, value: 3}]", (8, 8, 8, 8)),  # the first that fits
    ],
)
def test_filters(models: Path, weight: str, expected: tuple[float, ...]) -> None:
    found = numbers(planned(models, one_of_two(weight)), "weight")
    names = ("layers.0.self_attn.q_proj", "layers.0.mlp.down_proj", "layers.1.self_attn.q_proj", "norm")
    assert tuple(found[f"model.{name}.weight"] for name in names) == expected


def test_what_no_filter_fits_falls_through_to_the_whole_recipe(models: Path) -> None:
    text = one_of_two("[{filter: mlp, value: 3}]") + "parameters: {weight: 9}\n"
    found = numbers(planned(models, text), "weight")
    assert (found["model.layers.0.mlp.down_proj.weight"], found["model.norm.weight"]) == (3, 9)


SLICES = """
merge_method: linear
slices:
- sources:
  - {model: zero, layer_range: [0, 4], parameters: {weight: 0.0}}
  - {model: one, layer_range: [0, 4], parameters: {weight: [0, 1]}}
- sources:
  - {model: zero, layer_range: [4, 8], parameters: {weight: 0.0}}
  - {model: one, layer_range: [2, 6], parameters: {weight: [2, 3, 5]}}
"""


def test_gradients_begin_anew_in_each_slice(models: Path) -> None:
    found = numbers(planned(models, SLICES), "weight")
    assert of_layers(found, "q_proj") == [0, 0.3333, 0.6667, 1, 2, 2.6667, 3.6667, 5]
    assert [found[name] for name in ENDS] == [0.0, 2.0, 2.0]


def test_a_slice_of_one_layer_is_at_the_end_of_a_gradient(models: Path) -> None:
    sources = "[{model: zero, layer_range: [0, 1], parameters: {weight: 0}}, {model: one, layer_range: [3, 4], "
    text = f"merge_method: linear\nslices: [{{sources: {sources}parameters: {{weight: [3, 5]}}}}]}}]\n"
    found = numbers(planned(models, text), "weight")
    assert of_layers(found, "q_proj") == [5.0]
    assert [found[name] for name in ENDS] == [3.0, 3.0, 3.0]


def test_a_models_filters_are_about_its_own_names_and_those_of_t_about_the_results(models: Path) -> None:
    given = "[{filter: layers.4., value: 0.9}, {filter: layers.2., value: 0.7}, {filter: layers.1., value: 0.5}, "
    given += "{filter: layers.0., value: 0.3}, {value: 0.1}]"
    sources = "[{model: one, layer_range: [3, 5]%s}, {model: two, layer_range: [1, 3]%s}]"
    own = sources % (f", parameters: {{weight: {given}}}", ", parameters: {weight: 1}")
    linear = planned(models, f"merge_method: linear\nslices:\n- sources: {own}\n")
    assert of_layers(numbers(linear, "weight", 0), "q_proj") == [0.1, 0.9]
    whole = f"- sources: {sources % ('', '')}\n  parameters: {{t: {given}}}\n"
    slerp = f"merge_method: slerp\nbase_model: two\nslices:\n{whole}"
    found = numbers(planned(models, slerp), "t", None)
    assert of_layers(found, "q_proj") == [0.3, 0.5]
    assert [found[name] for name in ENDS] == [0.1, 0.1, 0.1]


def test_the_nearest_block_decides(models: Path) -> None:
    text = """
merge_method: linear
slices:
- sources: [{model: one, layer_range: [0, 2]}, {model: zero, layer_range: [0, 2]}]
  parameters: {weight: 5}
- sources:
  - {model: one, layer_range: [4, 8], parameters: {weight: [7, 8]}}
  - {model: zero, layer_range: [4, 8]}
parameters: {weight: 3}
"""
    plan = planned(models, text)
    assert of_layers(numbers(plan, "weight", 0), "q_proj") == [5, 5, 7, 7.3333, 7.6667, 8]
    assert of_layers(numbers(plan, "weight", 1), "q_proj") == [5, 5, 3, 3, 3, 3]
    assert [numbers(plan, "weight", 0)[name] for name in ENDS] == [5, 7, 7]
    assert plan.config["num_hidden_layers"] == 6


def test_flags_change_in_steps(models: Path) -> None:
    text = one_of_two("1") + "parameters: {normalize: [false, true, false, true]}\n"
    assert of_layers(numbers(planned(models, text), "normalize", None), "q_proj") == [0, 0, 0, 1, 1, 0, 0, 1]


def test_a_base_that_the_method_has_no_use_for_is_averaged_too(models: Path) -> None:
    whole = "merge_method: linear\nbase_model: two\nmodels: [{model: one}, {model: zero}]\nparameters: {weight: 1}\n"
    assert {len(output.models) for output in planned(models, whole).outputs} == {3}
    layers = "layer_range: [0, 2]"
    sources = f"[{{model: one, {layers}}}, {{model: zero, {layers}}}]"
    sliced = f"merge_method: linear\nbase_model: two\nslices: [{{sources: {sources}}}]\nparameters: {{weight: 1}}\n"
    assert {len(output.models) for output in planned(models, sliced).outputs} == {2}
    with pytest.raises(ConfigError, match="passthrough takes 1 model, not 2"):
        planned(models, "merge_method: passthrough\nbase_model: two\nmodels: [{model: one}]\n")


def test_stacked_layers_take_embeddings_from_the_first_slice_and_the_head_from_the_last(models: Path) -> None:
    text = """
merge_method: passthrough
slices:
- sources: [{model: one, layer_range: [0, 3]}]
- sources:
  - model: two
    layer_range: [2, 6]
    parameters: {scale: [{filter: o_proj, value: 0}, {filter: down_proj, value: [0.5, 1]}, {value: 1}]}
"""
    plan = planned(models, text)
    origin = {output.name: output.models[0].tensor for output in plan.outputs}
    assert [origin[name].path.parent.name for name in ENDS] == ["one", "two", "two"]
    assert origin["model.layers.6.self_attn.q_proj.weight"].name == "model.layers.5.self_attn.q_proj.weight"
    assert of_layers(numbers(plan, "scale", 0), "o_proj") == [1, 1, 1, 0, 0, 0, 0]
    assert of_layers(numbers(plan, "scale", 0), "down_proj") == [1, 1, 1, 0.5, 0.6667, 0.8333, 1]
    assert plan.config["num_hidden_layers"] == 7


def test_without_a_dtype_the_sources_common_one_is_used(models: Path) -> None:
    make_model(models / "half", "float16")
    two = "models: [{model: half}, {model: one}]\nmerge_method: linear\nparameters: {weight: 1}\n"
    assert {output.dtype for output in planned(models, two).outputs} == {"F32"}
    other_way = "models: [{model: one}, {model: half}]\nmerge_method: linear\nparameters: {weight: 1}\n"
    assert {output.dtype for output in planned(models, other_way).outputs} == {"F32"}
    assert {output.dtype for output in planned(models, two + "dtype: float16\n").outputs} == {"F16"}
    assert {output.dtype for output in planned(models, two + "out_dtype: bfloat16\n").outputs} == {"BF16"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "merge_method: linear\nmodels: [{model: one}, {model: zero}]\n",
            r"linear needs weight for .*one .*model\.embed_tok",
        ),
        (
            "merge_method: passthrough\nslices: [{sources: [{model: one, layer_range: [0, 30]}]}]\n",
            r"layer_range \[0, 30\]: .*one has 8 layers",
        ),
        (
            "merge_method: task_arithmetic\nbase_model: two\nslices: [{sources: [{model: one, layer_range: [0, 2]}, "
            "{model: zero, layer_range: [1, 3]}]}]\nparameters: {weight: 1}\n",
            r"base model .*two is not among its sources",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_the_models(models: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        planned(models, text)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            {"vocabulary": 7},
            r"embed_tokens\.weight is \[6, 4\] in .*one and \[7, 4\] in .*other: vocabularies differ; set tok",
        ),
        ({"layers": 7}, r"models of different depth"),
        ({"architectures": ["Qwen2ForCausalLM"]}, r"other is a Qwen2ForCausalLM and .*one a LlamaForCausalLM"),
    ],
)
def test_models_that_do_not_fit_each_other(models: Path, other: dict[str, Any], says: str) -> None:
    make_model(models / "other", **other)
    with pytest.raises(MergeError, match=says):
        planned(models, "merge_method: linear\nmodels: [{model: one}, {model: other}]\nparameters: {weight: 1}\n")
