"""Demonstrations: a whole acceptance of one scenario, measured live against standards whose true values are known."""
