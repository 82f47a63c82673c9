"""Renderings of a record. They compute nothing: every number printed stands in the record already."""
