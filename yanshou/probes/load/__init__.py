"""Load: many virtual users or devices at the agreed pace, and how long the platform takes, counted from the schedule."""
