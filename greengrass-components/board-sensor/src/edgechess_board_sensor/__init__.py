"""A smart board on the bus, and the recognition of moves."""
