"""Weight sync as a share of the iteration, from a run's metrics.

python benchmarks/sync_share.py [RUN_DIR] [--floor 0.02]
Medians over the rl iterations but the first of each stage, whose roll-out warms everything up.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path


def main() -> None:
    """Print the share and what it is made of; exit code 1 above the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    parser.add_argument("--floor", type=float, default=0.02)
    arguments = parser.parse_args()
    path = arguments.run / "metrics.jsonl"
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; run `make quickstart` first, or name another run folder")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if "time/sync_s" in row and row["iteration"] > 0]
    names = ("time/iteration_s", "time/sync_s", "time/sync_publish_s", "time/sync_load_s", "time/sync_canary_s")
    medians = {name: statistics.median(row[name] for row in rows) for name in names}
    share = statistics.median(row["time/sync_s"] / row["time/iteration_s"] for row in rows)
    print(json.dumps({"iterations": len(rows), "share": share, "floor": arguments.floor} | medians, indent=2))
    raise SystemExit(int(share > arguments.floor))


if __name__ == "__main__":
    main()
