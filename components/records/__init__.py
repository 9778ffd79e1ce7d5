"""The JSON files that stages hand on: their schema, and how they are read."""
