"""The table in software: one physical world behind devices that speak the real bytes."""
