"""rl-reason: RL post-training for long chain-of-thought reasoning, in the manner of Kimi k1.5."""
