"""FISCO BCOS 3.x: JSON-RPC of a node with its SSL off (3.x documentation, develop/api.md)."""
