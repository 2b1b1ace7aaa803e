"""Dobot V4 controllers (CR, CRA, Nova): the protocol without I/O, and the driver."""
