"""Names of the streams: what the node says of itself, the last headers, blocks in full, and the ports' answers.

`about.json`: {"about": answer, "head"}; `headers.jsonl.gz`; `blocks.jsonl.gz`: whole blocks from the newest down; `hello.jsonl`:
{"address", "tongue", "answer": hex, "connected"}; `end.json`, last: {"channels": how many}.
"""

ABOUT, HEADERS, BLOCKS, HELLO, END = "about.json", "headers.jsonl.gz", "blocks.jsonl.gz", "hello.jsonl", "end.json"
