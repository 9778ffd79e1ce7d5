"""Filters: the rules that raw triplets must satisfy."""
