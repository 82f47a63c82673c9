"""SNMP agents: what switches, routers and CPEs know of their neighbours (LLDP, bridge, ARP) and of themselves."""
