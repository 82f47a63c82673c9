"""Modbus TCP gateways: device identification (function 43/14) and registers of every unit behind them."""
