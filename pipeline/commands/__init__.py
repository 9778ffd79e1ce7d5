"""The commands of `ranklift`, one module for each part of the work."""
