"""Hyperledger Fabric: a peer's query chaincode (qscc) and discovery service, over gRPC."""
