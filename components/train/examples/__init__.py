"""Training examples: from triplets to batches of token ids."""
