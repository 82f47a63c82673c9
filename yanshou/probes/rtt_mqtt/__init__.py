"""Time from publishing a message to its delivery to a subscriber on this host, over a broker.

It must never claim to be the network's delay: it is the application's, and says what it includes.
"""
