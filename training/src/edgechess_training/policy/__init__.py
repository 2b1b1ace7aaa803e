"""Training of the policy network that edgechess ships."""
