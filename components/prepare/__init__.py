"""From raw data to a dataset version: validated, at most one triplet per query, split with no leak, profiled."""
