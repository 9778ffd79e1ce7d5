"""Index: the corpus embedded with the promoted model, verified, and named together with it."""
