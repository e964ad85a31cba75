"""Equations as pure functions: losses, baselines, log-probs."""
