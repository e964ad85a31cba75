"""What a run leaves on disk and shows while it goes: run folder, checkpoints, metrics, trajectories, progress."""
