"""The attempt ladder: a model is asked, asked again with more context, and an engine stands behind it."""
