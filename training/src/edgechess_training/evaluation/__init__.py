"""How strong a move model is, measured: matches, puzzles, held-out games, the engine's judgement, its own honesty, its speed."""
