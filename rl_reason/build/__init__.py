"""The composition root: a checked recipe becomes objects. Nothing below knows the configuration."""
