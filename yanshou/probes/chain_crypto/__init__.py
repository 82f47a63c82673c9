"""Proves whether a chain uses 国密, by its hashes and signatures and by what its ports speak. It must never look at a limit."""
