"""The player port and its registry: engines, random, replay. Knows positions, not tables."""
