"""Readers of evidence formats that others write (captures, logs): streamed, in constant memory, without any judgement."""
