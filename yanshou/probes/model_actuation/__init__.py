"""From trigger to actuation in the logs that a vehicle recorded."""
