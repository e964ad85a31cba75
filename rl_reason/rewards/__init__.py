"""The verifier pool and what is made of its verdicts."""
