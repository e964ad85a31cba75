"""`rl-reason merge` as a user calls it: the result loads, a killed merge goes on, errors are for people."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from checkpoints import load, make
from tiny_models import logprobs_of, perturb, tiny_qwen2
from transformers import AutoModelForCausalLM
from vllm_process import VllmProcess

COMMAND = [str(Path(sys.executable).parent / "rl-reason"), "merge"]
SLOW = """
import sys, time
from rl_reason.cli.main import main
from rl_reason.merging.writer import ModelWriter
finished = ModelWriter.finished
def slowly(self, name):
    finished(self, name)
    self.journal()
    print(name, flush=True)
    time.sleep(0.2)
ModelWriter.finished = slowly
main(["merge", *sys.argv[1:]])
"""


def called(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("tied", [True, False])
def test_the_average_of_two_models_loads_in_transformers_and_vllm(tmp_path: Path, tied: bool):
    first, second = tiny_qwen2(tied=tied), tiny_qwen2(tied=tied)
    perturb(second, seed=3)
    first.save_pretrained(tmp_path / "first")
    second.save_pretrained(tmp_path / "second")
    models = [{"model": name, "parameters": {"weight": 0.5}} for name in ("first", "second")]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"merge_method": "linear", "models": models}))
    done = called(tmp_path / "recipe.yaml", "--out", tmp_path / "out")
    assert done.returncode == 0 and re.search(r"out: \d+ tensors, 0.00 GB, of ", done.stderr), done.stderr
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        for ours, other in zip(first.parameters(), second.parameters(), strict=True):
            ours.copy_((ours + other) / 2)
    tokens = [2, 7, 1, 8, 2, 8, 1, 8]
    expected = logprobs_of(first, tokens)
    assert abs(logprobs_of(loaded.eval(), tokens) - expected).max() < 1e-5
    vllm = VllmProcess()
    vllm.start(
        "merged", model_path=tmp_path / "out", max_context_tokens=64, max_concurrent=4, kv_cache_gib=0.05, threads=1
    )
    (scored,) = vllm.call("merged", "score", [tokens])
    vllm.stop()
    assert abs(scored - expected).max() < 1e-4


def test_a_merge_that_is_killed_goes_on_where_it_stopped(tmp_path: Path):
    for seed, name in enumerate(("a", "b")):
        make(tmp_path / name, seed, layers=6)
    models = [{"model": name, "parameters": {"weight": 1.0}} for name in ("a", "b")]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"merge_method": "linear", "models": models}))
    words = [str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out"), "--threads", "1"]
    merge = subprocess.Popen(
        [sys.executable, "-c", SLOW, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert merge.stdout is not None
    before = [merge.stdout.readline().strip() for _ in range(3)]
    merge.send_signal(signal.SIGKILL)
    merge.wait()
    merge.stdout.close()
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.merging").is_dir()
    again = subprocess.run(
        [sys.executable, "-c", SLOW, *words], capture_output=True, text=True, timeout=120, check=True
    )
    finished = again.stdout.split()
    assert not set(before) & set(finished) and len(finished) + 3 in (21, 20)  # one may have been finished unseen
    a, b, found = load(tmp_path / "a"), load(tmp_path / "b"), load(tmp_path / "out")
    assert all(abs(found[name] - (a[name] + b[name]) / 2).max() < 1e-6 for name in a)
    assert not (tmp_path / ".out.merging").exists()


def test_mistakes_are_told_in_a_line_without_a_traceback(tmp_path: Path):
    make(tmp_path / "a")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("merge_method: lineer\nmodels: [{model: a, parameters: {weight: 1}}]\n")
    done = called(recipe, "--out", tmp_path / "out")
    assert done.returncode == 2 and "did you mean 'linear'?" in done.stderr and "Traceback" not in done.stderr
    recipe.write_text("merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}]\n")
    assert (
        "--shard-size is a size such as 5GB" in called(recipe, "--out", tmp_path / "out", "--shard-size", "big").stderr
    )
    done = called(recipe, "--out", tmp_path / "out", "--dry-run")
    assert done.returncode == 0 and "would write" in done.stderr and not (tmp_path / "out").exists()


def test_a_file_size_limit_is_told_and_nothing_is_left_at_the_destination(tmp_path: Path):
    make(tmp_path / "a")
    (tmp_path / "recipe.yaml").write_text("merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}]\n")
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", *COMMAND, str(tmp_path / "recipe.yaml")]
    done = subprocess.run(
        [*limited, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "File too large; make room and call the same again" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=$1 none disk
shift
"$@" --out disk/out && exit 7
test ! -e disk/out
mount -o remount,size=64m disk
"$@" --out disk/out
test ! -e disk/.out.merging
ls disk/out
"""


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ("300k", "GB free and the merged model needs"),
        ("2m", "No space left on device; make room and call the same again"),
    ],
)
def test_on_a_full_disk_nothing_is_at_the_destination_and_the_merge_goes_on_when_there_is_room(
    tmp_path: Path, size: str, says: str
):
    """300 kB do not hold the weights, 2 MB do but not the tokenizer beside them."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    probe = [*namespace, "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs in a namespace of our own is not permitted here")
    make(tmp_path / "a", width=128, vocabulary=500)
    (tmp_path / "a" / "tokenizer.json").write_text(" " * 3_000_000)
    (tmp_path / "recipe.yaml").write_text("merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}]\n")
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        [*namespace, "bash", "-c", ON_A_SMALL_DISK, "bash", size, *COMMAND, str(tmp_path / "recipe.yaml")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and says in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} == set(done.stdout.split())


def test_the_command_starts_without_torch():
    heavy = "{'torch', 'transformers', 'ray', 'vllm'}"
    code = f"import sys; import rl_reason.cli.merge; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
