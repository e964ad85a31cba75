"""Makes mergekit's environment, `.venv-mergekit`, when it is missing: our packages, and mergekit with what it adds."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / ".venv-mergekit"
PACKAGES = ("mergekit==0.1.5", "immutables==0.21", "peft==0.21.2", "accelerate==1.15.0")


def prepare() -> Path:
    """The environment's Python. torch, transformers and the rest are those of the environment that runs this.

    Raises:
        subprocess.CalledProcessError: pip failed; its own words stand above.
    """
    python, stamp = FOLDER / "bin" / "python", FOLDER / ".ready"
    if stamp.exists() and stamp.read_text() == " ".join(PACKAGES):
        return python
    print(f"mergekit_env: making {FOLDER}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    library = next(FOLDER.glob("lib/python3*/site-packages"))
    (library / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, *PACKAGES], check=True)
    subprocess.run([str(python), "-c", "import mergekit.merge"], check=True)
    stamp.write_text(" ".join(PACKAGES))
    return python
