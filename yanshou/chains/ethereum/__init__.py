"""Ethereum-type chains: execution clients' JSON-RPC (execution-apis of the Ethereum project)."""
