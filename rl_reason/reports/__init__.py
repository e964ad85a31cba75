"""Pages for people, made from run folders alone: no torch, no engines, works half-way through a run."""
