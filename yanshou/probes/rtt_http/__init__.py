"""Response time of one thing that is asked over HTTP/1.1, from when each request was due.

It must never claim to be the network's delay: it is the application's, and says what it includes.
"""
