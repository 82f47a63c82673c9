"""Counts the subjects that really use a chain: legal persons with a valid code and a counted record. It must never look at a limit."""
