"""Checkpoints: kept on disk and in the object store, resumed from either."""
