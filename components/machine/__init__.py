"""This machine: settings, processor, scratch folders, caches, signals and digests."""
