"""The measure stage: what one base model is worth on a dataset, untouched and after a short training."""
