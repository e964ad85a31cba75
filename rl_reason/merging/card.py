"""The merged model's README.md: of what, by which recipe, so that anyone can make it again and know it for the same."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version

from rl_reason.merging.checkpoint import Checkpoint
from rl_reason.merging.plan import Plan


def card(plan: Plan) -> str:
    """Markdown with the front matter that model hubs read."""
    methods = sorted({output.method.name for output in plan.outputs if output.method is not None}) or ["passthrough"]
    sources = "\n".join(
        f"| `{one.folder}` | {one.architecture} | {len(one.tensors)} | {_bytes(one) / 1e9:.3f} | `{identity(one)}` |"
        for one in plan.checkpoints
    )
    return f"""---
library_name: transformers
tags:
- merge
- rl-reason
---

# Merged model

Merged by rl-reason {version("rl-reason")} ({", ".join(methods)}), random seed {plan.seed}.

| source | architecture | tensors | GB | identity |
| --- | --- | --- | --- | --- |
{sources}

The identity is the SHA-256 of a model's config and of its tensors' names, types, shapes and sampled contents.

```yaml
{plan.recipe.strip()}
```
"""


def identity(checkpoint: Checkpoint, samples: int = 64) -> str:
    """SHA-256 of config, names, types, shapes, and so many pieces of 4 kB spread evenly over every weight file."""
    seen = hashlib.sha256(json.dumps(checkpoint.config, sort_keys=True).encode())
    for name, tensor in sorted(checkpoint.tensors.items()):
        seen.update(f"\0{name}\0{tensor.dtype}\0{tensor.shape}".encode())
    for path in checkpoint.files:
        size = path.stat().st_size
        with path.open("rb") as file:
            for number in range(samples):
                file.seek(number * size // samples)
                seen.update(file.read(4096))
    return seen.hexdigest()


def _bytes(checkpoint: Checkpoint) -> int:
    return sum(tensor.nbytes for tensor in checkpoint.tensors.values())
