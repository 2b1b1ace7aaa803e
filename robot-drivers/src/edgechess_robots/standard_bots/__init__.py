"""Standard Bots RO1: the REST API without I/O, a client with deadlines, and the driver."""
