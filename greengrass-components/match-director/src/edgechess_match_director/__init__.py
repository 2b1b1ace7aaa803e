"""Plays a match when no cloud does: whose turn, ask the player, request the move, keep the record."""
