"""The only package that imports Ray: placement, actors, deadlines."""
