"""Our own policy network: how a position becomes numbers, how numbers become moves, and the network between."""
