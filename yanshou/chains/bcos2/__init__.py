"""FISCO BCOS 2.x: JSON-RPC of a node (2.x documentation, api.md)."""
