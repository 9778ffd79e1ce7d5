"""Dataset versions and evaluation sets: what their files are, and how files that people bring are read."""
