"""Frames of an XR scene and its answers to input, from a real browser, a headset, or frame-time logs."""
