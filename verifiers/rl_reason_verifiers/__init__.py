"""Verifiers that come with rl-reason, registered as entry points exactly as anybody else's would be."""
