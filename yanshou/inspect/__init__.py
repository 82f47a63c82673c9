"""Inspection on site: people answer the frozen checklists in a terminal or on a tablet, and every word is on the disk first."""
