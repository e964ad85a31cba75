"""Recipes: schema, loading, checks and explanations. Imports no torch."""
