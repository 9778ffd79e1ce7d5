"""The export stage: from a fine-tuned model to the exact files that will serve."""
