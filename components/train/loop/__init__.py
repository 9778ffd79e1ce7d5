"""The training loop in one process."""
