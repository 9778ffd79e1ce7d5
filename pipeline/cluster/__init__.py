"""Runs on a cluster: submitted, followed, and the registry there."""
