"""Players on the bus."""
