"""Evaluate: how well one exported model ranks a frozen evaluation set, query by query."""
