"""Counts the records of an export: gross, minus each declared exclusion, is net. It must never look at a limit."""
