"""From the bytes of a file to the main line of each game."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from edgechess_training.dataset.errors import DatasetError, MalformedGame
from edgechess_training.dataset.movetext import main_line, offset_of_move
from edgechess_training.dataset.pgn_files import pgn_files, read_games, split_games


def test_games_are_told_apart_and_know_their_lines(games: Path) -> None:
    found = list(read_games(games))
    assert [game.tags()[0]["White"] for game in found] == [
        "Anderssen, Adolf",
        "Fool, A.",
        "Wrong, W.",
        "A",
        "A",
        "Open, O.",
    ]
    assert [game.line for game in found] == [1, 10, 19, 26, 34, 42]
    assert "[gambit]" in found[0].text


def test_a_compressed_file_with_a_long_window_gives_the_same(games: Path, tmp_path: Path) -> None:
    packed = tmp_path / "games.pgn.zst"
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packed.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(games.read_bytes()))
    assert [game.text for game in read_games(packed)] == [game.text for game in read_games(games)]


@pytest.mark.parametrize("count", [1, 256, 257])
def test_a_file_of_any_number_of_games_is_read_to_its_end(count: int, tmp_path: Path) -> None:
    path, heard = tmp_path / "x.pgn", list[int]()
    path.write_text('[White "A"]\n\n1. e4 *\n\n' * count)
    assert len(list(read_games(path, heard.append))) == count
    assert heard[-1] == path.stat().st_size


def test_a_game_without_moves_keeps_its_tags_to_itself() -> None:
    lines = ['[Event "a"]\n', '[White "Tal"]\n', "\n", '[Event "b"]\n', '[White "B"]\n', "1. d4\n"]
    assert [game.tags()[0]["White"] for game in split_games(lines, "x")] == ["Tal", "B"]


def test_names_in_the_standard_s_own_encoding_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.PGN"
    path.write_bytes(b'\xef\xbb\xbf[White "H\xfcbner"]\r\n[Black "Polg\xc3\xa1r"]\r\n\r\n1. e4 *\r\n')
    [game] = read_games(pgn_files([tmp_path])[0])
    assert (game.tags()[0]["White"], game.tags()[0]["Black"]) == ("Hübner", "Polgár")


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pgn.zst"
    path.write_bytes(b"no archive at all")
    with pytest.raises(DatasetError, match=r"x\.pgn\.zst: zstd cannot unpack it"):
        list(read_games(path))


def test_folders_stand_for_their_files(games: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.pgn").write_text("")
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in pgn_files([tmp_path])] == ["a.pgn", "games.pgn"]
    for sources, said in (([tmp_path / "none.pgn"], "does not exist"), ([games, games], "given twice")):
        with pytest.raises(DatasetError, match=said):
            pgn_files(sources)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no file in this folder ends in \.pgn"):
        pgn_files([tmp_path / "empty"])


def test_a_tag_ends_no_comment_and_endless_text_is_cut() -> None:
    lines = ['[White "A"]\n', "1. e4 {a\n", '[White "no tag"]\n', "} e5\n", '[White "B"]\n', "1. d4\n"]
    assert [game.line for game in split_games(lines, "x")] == [1, 5]
    lines = ['[Event "A"]\n', "1. e4 {open\n", '[Event "B"]\n', "1. d4\n"]
    assert [game.line for game in split_games(lines, "x")] == [1, 3]
    assert len(list(split_games(['[White "A"]\n', *["e4 " * 100_000 + "\n"] * 8], "x"))) > 1


@pytest.mark.parametrize(
    ("text", "moves", "result"),
    [
        ("1.e4 e5 2. Nf3 Nc6 1-0", ["e4", "e5", "Nf3", "Nc6"], "1-0"),
        ("1. e4! $1 e5?? 2. Qh5+ Ke7 3. Qxe5# *", ["e4", "e5", "Qh5", "Ke7", "Qxe5"], "*"),
        ("1. e4 {(not} e5 ; 2. d4 {here\n2. Nf3", ["e4", "e5", "Nf3"], None),
        ("1... e5 (1... c5 2. Nf3 (2. c3) d6) 2. Nf3 0-1", ["e5", "Nf3"], "0-1"),
        ("1. e4\n% escaped e5\nc5 1/2-1/2", ["e4", "c5"], "1/2-1/2"),
        ("12.   ... Nf6 13.O-O-O", ["Nf6", "O-O-O"], None),
        ("", [], None),
        ("1 e4 e5 2 Nf3 N Nc6 = 1/2", ["e4", "e5", "Nf3", "Nc6"], "1/2-1/2"),
        ("1. e4 e5 D 2. exd6 e.p. +- e8(Q)+ (2. a8(N)) ½-½", ["e4", "e5", "exd6", "e8=Q"], "1/2-1/2"),
    ],
)
def test_the_main_line(text: str, moves: list[str], result: str | None) -> None:
    assert main_line(text) == (moves, result)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1. e4 {open", "other brace"), ("1. e4 } e5", "other brace"), ("1. e4 (1. d4", "other bracket"),
        ("1. e4 ) e5", "other bracket"), ("1. e4 " + "(" * 5000 + ")" * 5000, "other bracket"), ("1. e4 1-0 e5", "after the result 1-0"),
    ],
)  # fmt: skip
def test_what_is_no_main_line(text: str, said: str) -> None:
    with pytest.raises(MalformedGame, match=said):
        main_line(text)


def test_the_line_of_a_move() -> None:
    text = "1. e4 {two\nlines} e5\n2. Nf3\n"
    assert [text.count("\n", 0, offset_of_move(text, number)) for number in range(3)] == [0, 1, 2]
