"""The recipe's schema, one file a section; a field's docstring is its documentation (`rl-reason config explain`)."""
