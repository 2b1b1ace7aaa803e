"""Datasets, training and evaluation of move models. Knows positions and games, not tables."""
