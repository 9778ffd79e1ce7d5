"""Raw data: where it comes from, which formats are read, and what each row becomes."""
