"""coverage: how many sub-districts a positioning service covers, by official boundaries and the cells that really hold fixes."""
