"""A list of terminals that somebody exported."""
