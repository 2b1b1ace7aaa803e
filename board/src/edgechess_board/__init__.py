"""Smart boards: placements, the DGT protocol and driver, settling. Knows pieces, not rules."""
