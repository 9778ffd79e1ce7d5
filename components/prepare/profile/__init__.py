"""The profile: what people look at before they trust a dataset."""
