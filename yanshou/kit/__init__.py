"""The capture kit: one file that records evidence on a terminal which has a bare Python and nothing else.

`build` makes it, on the evaluator's host; `runner` is what it does, on the terminal; `harness/intake` takes in what it brings.
"""
