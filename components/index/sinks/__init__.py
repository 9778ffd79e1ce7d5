"""Databases that a team searches in by itself: each is filled beside what serves, verified, and switched at once."""
