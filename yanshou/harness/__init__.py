"""The engine room: plan, evidence, judgement, seal and verification. Nothing here talks to a device."""
