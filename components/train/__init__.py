"""The train stage: fine-tunes a base model on a dataset version's triplets."""
