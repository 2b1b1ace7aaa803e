"""Low-rank adapters: packed like weights, kept in tiers, lent to the batches that name them."""
