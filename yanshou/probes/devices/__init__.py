"""devices: how many distinct physical devices are really there, by register, by what is seen on independent paths, and live."""
