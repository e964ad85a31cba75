"""The DeepSpeed learner and what it trains on."""
