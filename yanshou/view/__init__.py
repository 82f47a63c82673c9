"""Review on a local page: what verification found, then everything in a package, and what an expert signs about it."""
