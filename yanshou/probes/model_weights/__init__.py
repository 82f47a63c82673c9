"""Counts the parameters of the model that is deployed, from the headers of its files. It must never look at a limit."""
