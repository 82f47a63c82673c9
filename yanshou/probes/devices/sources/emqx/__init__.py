"""A broker's management interface: its list of clients."""
