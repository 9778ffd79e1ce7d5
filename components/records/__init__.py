"""What stages leave behind for other stages and for people: one JSON document each."""
