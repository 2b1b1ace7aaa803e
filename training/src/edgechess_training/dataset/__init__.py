"""From PGN files, puzzles and an engine's labels to folders that a trainer reads."""
