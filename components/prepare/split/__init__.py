"""The split: which queries are trained on and which are held out."""
