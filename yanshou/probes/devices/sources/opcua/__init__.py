"""OPC UA servers and gateways: serial numbers and values of the devices behind them, read again and again."""
