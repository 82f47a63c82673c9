"""Counts the legal persons that really use a chain: a valid code, and a counted record. It must never look at a limit."""
