"""Prompts, chat rendering, demonstration traces, samplers."""
