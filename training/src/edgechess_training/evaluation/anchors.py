"""Published figures of other chess models, to be read beside ours. Each is its authors' own, by their own protocol."""

from __future__ import annotations

from typing import NamedTuple


class Anchor(NamedTuple):
    model: str
    parameters: str
    data: str
    result: str
    source: str


ANCHORS = (
    Anchor(
        "DeepMind searchless", "9 M / 136 M / 270 M", "10 M Lichess games, 15.3 G values by Stockfish 16",
        "tournament Elo 2025 / 2259 / 2299; puzzles, whole line 88.9 / 94.5 / 95.4 %", "arXiv 2402.04494v2, table 1",
    ),
    Anchor(
        "the same, moves only (ablation)", "9 M", "1 M games, 55 M positions",
        "puzzles 65.7 %; legal without a mask 99.5–100 %", "arXiv 2402.04494v2, tables 2 and A3b",
    ),
    Anchor(
        "Lc0 T82, policy alone / value alone", "–", "self-play of Leela Chess Zero",
        "Elo 2292 / 2418; puzzles 88.6 / 95.9 %", "arXiv 2402.04494v2, table 1",
    ),
    Anchor("GPT-3.5-turbo-instruct", "–", "not published", "1755 against bots; puzzles 66.5 %", "arXiv 2402.04494v2, table 1"),
    Anchor(
        "Chessformer CF-6M / CF-240M, policy", "6 M / 243 M", "53 M / 500 M games of self-play",
        "Elo 2105 / 2347; puzzles 65.3 / 93.5 %", "arXiv 2409.12272, by notes of others",
    ),
    Anchor(
        "Chessformer with geometric attention bias (Leela-CF), policy / value", "–", "self-play of Leela Chess Zero",
        "Elo 2374 / 2466; puzzles 93.5 / 97.2 %", "ICLR 2026, by notes of others",
    ),
    Anchor(
        "Maia-3", "5 M / 79 M", "Lichess blitz 2023 to 2025", "people's moves foretold 55.4 / 57.1 %", "CSSLab/maia3, plot",
    ),
    Anchor("Maia-1", "–", "12 M Lichess games each", "people's moves foretold 51–54 %", "CSSLab/maia-chess, README"),
    Anchor(
        "chess-transformers CT-EFT-20", "20 M", "13.3 M winners' moves of 274,794 games",
        "Fairy-Stockfish, Lichess level 3 / 4 / 5: 96.6 / 75.3 / 55.2 %", "sgrvinod/chess-transformers, README",
    ),
    Anchor(
        "chess-transformers CT-EFT-85", "85 M", "127.7 M winners' moves",
        "Fairy-Stockfish, Lichess level 4 / 5 / 6: 90.9 / 76.5 / 23.6 %", "sgrvinod/chess-transformers, README",
    ),
    Anchor("Oxi", "about 30 M", "2 months of Lichess", "people's moves foretold 52.3 %", "its README"),
    Anchor(
        "ryanhulke's action values", "6.8 M", "287 M examples, 20 h of an A100", "Elo 2118, protocol not given", "its readme",
    ),
    Anchor(
        "mateuszgrzyb's ViT-S / ViT-M, state values", "2.6 M / 9.5 M", "316 M positions, 24 h / 72 h of an A100",
        "Elo fitted to puzzles, not to games: 1817 / 1960", "its README",
    ),
    Anchor("chess-llama", "23 M", "3 M games of strong players", "about 1400", "its README"),
    Anchor("Karvonen's chess-GPT", "50 M", "5 to 16 M games", "1300 to 1500; 99.8 % legal", "by notes of others"),
    Anchor(
        "LLM chess leaderboard: gpt-4o / gemma-3-27b / nova-pro", "–", "not for chess; shown the legal moves when they ask",
        "illegal tries per 1,000 moves 0.07 / 376 / 328", "llm_chess, refined.csv, before August 2025",
    ),
    Anchor(
        "AWS's embodied chess demo, fine-tuned LLM", "–", "more than 100,000 records",
        "80 % won, 20 % drawn against its own base model; number of games not given", "AWS's post on the demo",
    ),
)  # fmt: skip
