"""The streams of a run of `model.weights`: what the capture writes and the analysis reads.

ranges/NNN.bin   of each weight file, the pieces that a reader asked for (headers and samples): offset, length, bytes.
texts/NAME       config.json and its like, an index, a build log: whole.
process.jsonl    which files the serving process held open or mapped, one line whenever that changed.
challenge.jsonl  only where the service was asked questions: its answers and the counted model's, in full.
model.json       what was chosen, sizes, digests at start and end. Written last: without it the run is not whole.
"""

from __future__ import annotations

MODEL, PROCESS, TEXTS, RANGES, CHALLENGE = "model.json", "process.jsonl", "texts/", "ranges/", "challenge.jsonl"
ONNX, LLAMA = "ONNX Runtime", "llama.cpp"
"""What runs the counted files."""
MOST_TEXT, MOST_NUMBERS = 1 << 16, 4096
"""Of one answer: characters, and numbers of one output."""
FORMAT = "yanshou/weights/1"
DELETED = " (deleted)"
"""What the kernel puts behind the path of a file that is gone and still held."""
