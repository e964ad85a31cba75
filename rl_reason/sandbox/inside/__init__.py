"""What runs in the fork-server and in its children. Standard library only; imports nothing of the rest of rl_reason."""
