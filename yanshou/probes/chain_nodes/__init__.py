"""Counts the nodes of a chain that exist, follow it and take part. It must never look at a limit."""
