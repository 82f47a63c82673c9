"""Import of 表1: what an application form says, proposed as commitments, with the place that each was copied from.

It is for the edge: documents that people hand over are read here, bounded and without being trusted. It must never decide:
a person confirms each row, and what nobody confirmed cannot be planned. It never reads a picture of text (no OCR).
"""
