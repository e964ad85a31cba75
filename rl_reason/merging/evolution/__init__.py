"""Evolutionary search of merge recipes (arXiv 2403.13187): the best weights, or the best path through the layers."""
