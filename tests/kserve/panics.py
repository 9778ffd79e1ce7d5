"""The text that makes `broken_predictor` panic; apart from it, as that one changes how kserve is imported."""

PANIC = "make the tokenizer panic"
