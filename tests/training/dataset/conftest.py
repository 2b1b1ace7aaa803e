"""Games small enough to read, and some that nobody can."""

from __future__ import annotations

from pathlib import Path

import pytest

IMMORTAL = """[White "Anderssen, Adolf"]
[Black "Kieseritzky, Lionel"]
[Date "1851.06.21"]
[Result "1-0"]

1. e4 e5 2. f4 {a King's
[gambit] ; indeed} exf4 3. Bc4 Qh4+! 4. Kf1 (4. Ke2 $4 b5 (4... d5)) 4... b5?! ; the bishop
5. Bxb5 1-0
"""
BRIEF = """[White "Fool, A."]
[Black "Scholar, Bea"]
[Date "2001.??.??"]
[WhiteElo "2600"]
[BlackElo "2700"]
[Result "0-1"]

1. f3 e5 2. g4 Qh4# 0-1
"""
ILLEGAL = """[White "Wrong, W."]
[Black "Scholar, Bea"]
[Result "1-0"]

1. e4 e5
2. Ke3 Nc6 1-0
"""
UNCLOSED = """[White "Open, O."]
[Result "*"]

1. e4 {never closed
2. e5 *
"""
FROM_POSITION = """[White "A"]
[Black "B"]
[SetUp "1"]
[FEN "4k3/P7/8/8/8/8/8/4K2R w K - 0 40"]
[Result "1/2-1/2"]

40. a8=N Kd7 41. O-O 1/2-1/2
"""
CHESS960 = """[White "A"]
[Black "B"]
[Variant "Chess960"]
[FEN "bnrbkrqn/pppppppp/8/8/8/8/PPPPPPPP/BNRBKRQN w KQkq - 0 1"]
[Result "1-0"]

1. e4 1-0
"""


@pytest.fixture
def games(tmp_path: Path) -> Path:
    path = tmp_path / "games.pgn"
    path.write_text("\n".join((IMMORTAL, BRIEF, ILLEGAL, FROM_POSITION, CHESS960, UNCLOSED)), encoding="utf-8")
    return path
