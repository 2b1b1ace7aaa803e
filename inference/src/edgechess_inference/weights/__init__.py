"""Move models as chunks: packed once, streamed out of order into one buffer, checked chunk by chunk (FORMAT.md)."""
