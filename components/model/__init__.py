"""Models: base models from anywhere, served models, and the encoder that opens them."""
