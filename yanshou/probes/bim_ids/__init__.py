"""Checks models of buildings (IFC) against what was required of their information (IDS). It must never change or repair a model."""
