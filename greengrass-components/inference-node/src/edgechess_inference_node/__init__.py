"""Players on the bus: a model, the ladder and an engine behind it, for many tables at once."""
