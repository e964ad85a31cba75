"""Makes TRL's own environment, `.venv-trl`, when it is missing: torch first, then `trl.lock` with `--no-deps`."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE / ".venv-trl"
LOCK = HERE / "trl.lock"
TORCH = "torch==2.13.0"
TRL = "trl==1.16.0"
WITH_TORCH = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*)==")
"""Installed, or not, by `pip install torch`."""


def prepare() -> Path:
    """The environment's Python, after making the environment when it is missing or of another lock.

    `TORCH_ARGS` in the environment goes to torch's installation, as in the Makefile (an index of CPU builds, say).

    Raises:
        subprocess.CalledProcessError: pip failed; its own words stand above.
    """
    python, stamp = FOLDER / "bin" / "python", FOLDER / ".ready"
    mark = hashlib.sha256(LOCK.read_bytes() + TORCH.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == mark:
        return python
    if not python.exists():
        print(f"trl_env: creating {FOLDER}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--progress-bar", "off"]
    print("trl_env: torch (CPU)", file=sys.stderr)
    subprocess.run([*pip, *os.environ.get("TORCH_ARGS", "").split(), TORCH], check=True)
    print(f"trl_env: {LOCK}", file=sys.stderr)
    subprocess.run([*pip, "--no-deps", "-r", str(LOCK)], check=True)
    subprocess.run([str(python), "-c", "from trl import GRPOTrainer"], check=True)
    stamp.write_text(mark)
    return python


def relock() -> None:
    """Write trl.lock anew with uv, which is installed into this process's environment when it is missing."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], check=True)
    uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "trl.in")
        wanted.write_text(f"{TRL}\n{TORCH}\n")
        solved = subprocess.run(
            [*uv, "--python-version", "3.11", "--index-strategy", "unsafe-best-match", str(wanted)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    lines = [line for line in solved.splitlines() if "==" in line and not WITH_TORCH.match(line)]
    head = "# TRL's complete CPU environment, made by `trl_env.py --relock`; installed with --no-deps after torch.\n"
    LOCK.write_text(head + "\n".join(lines) + "\n")


def main() -> None:
    """Make the environment and print its Python."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relock", action="store_true", help="solve trl.lock anew first")
    if parser.parse_args().relock:
        relock()
    print(prepare())


if __name__ == "__main__":
    main()
