"""area: how large a demonstration area is, on the ellipsoid, and on what share of it the service is really there."""
