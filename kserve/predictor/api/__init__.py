"""Requests and answers of each protocol, and what they mean; no connection, no thread."""
