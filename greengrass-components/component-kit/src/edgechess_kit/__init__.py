"""What every component shares: messages, topics, the bus port, settings, journal, health, supervision."""
