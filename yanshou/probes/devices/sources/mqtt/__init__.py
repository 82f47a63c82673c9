"""An MQTT broker, seen by subscribing to it."""
