"""Takes a checklist that people answered, with the evidence behind each answer. It must never answer anything itself."""
