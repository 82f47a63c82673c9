"""Counts the records on a chain at one pinned height, from its own blocks. It must never look at a limit."""
