"""Training: batches, the loop, checkpoints, scoring, search, run directories."""
