"""Choreography: every arm of a table, its zone lease, tray and rack."""
