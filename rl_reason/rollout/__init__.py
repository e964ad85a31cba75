"""Engines that write responses, and the roll-out phase."""
