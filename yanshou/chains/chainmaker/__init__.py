"""ChainMaker (长安链) 2.x with certificates: gRPC of a node, asked by a member of the chain."""
