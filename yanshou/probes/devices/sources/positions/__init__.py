"""Positions that terminals reported, as a platform recorded them."""
