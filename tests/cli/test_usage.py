"""Wrong usage: exit code 2 and one clear line, before anything is started. And every command explains itself."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgechess_cli.main import VERBS

BARE = "4k3/8/8/8/8/8/8/4K3 w - - 0 1"

WRONG = {
    "player": (("play", "--white", "nobody"), "--white", "nobody"),
    "player setting": (("play", "--black", "stockfish:elo=9"), "--black", "elo"),
    "replay": (("play", "--white", "pgn:/nowhere.pgn"), "--white", "nowhere.pgn"),
    "time": (("play", "--time", "slow"), "--time", "real, fast, virtual"),
    "faults": (("play", "--faults", "gremlins"), "--faults", "gremlins"),
    "probability": (("play", "--faults", "slip=2"), "--faults", "slip"),
    "position": (("play", "--fen", "not a position"), "--fen", "not a position"),
    "arms": (("play", "--arms", "ro1,kuka"), "--arms", "dobot,ro1"),
    "firmware": (("play", "--firmware", "3.5"), "--firmware", "4.5, 4.6"),
    "broker": (("play", "--broker", "rabbit"), "--broker", "mosquitto"),
    "record": (("play", "--pgn", "/nowhere/out.pgn"), "--pgn", "/nowhere"),
    "human": (("play", "--time", "virtual", "--white", "human", "--black", "random"), "human", "--time"),
    "continue": (("play", "--continue", "/nowhere"), "--continue", "/nowhere"),
    "changed": (("play", "--continue", "/nowhere", "--seed", "3"), "--seed", "--continue"),
    "table faults": (("table", "--faults", "gremlins"), "gremlins", "gremlins"),
    "table position": (("table", "--fen", "x"), "fen", "x"),
    "table broker": (("table", "--broker", "rabbit"), "--broker", "embedded"),
    "twin faults": (("twin", "--faults", "gremlins"), "gremlins", "gremlins"),
    "twin firmware": (("twin", "--firmware", "1"), "--firmware", "4.6"),
    "twin table": (("twin", "--table", "/nowhere.json"), "--table", "/nowhere.json"),
    "no twin": (("twin", "hand", "e2e4"), "no twin is running", "edgechess twin"),
    "no twin to lift": (("twin", "hand", "lift", "e2"), "no twin is running", "edgechess twin"),
    "no square": (("twin", "hand", "lift", "e9"), "no twin is running", "edgechess twin"),
    "start position": (("publish", "start", "--session", "s", "--fen", "x"), "--fen", "x"),
    "move text": (("publish", "move", "--session", "s", "--fen", BARE, "e4"), "'e4' is not a legal move", "Kd2"),
    "move position": (("publish", "move", "--session", "s", "--fen", "x", "e4"), "--fen", "x"),
    "executor": (("publish", "move", "--session", "s", "--executor", "cat", "e4"), "--executor", "person"),
    "broker address": (
        ("publish", "start", "--session", "s", "--broker", "http://127.0.0.1"),
        "--broker",
        "mqtt://host",
    ),
    "broker without certificates": (
        ("publish", "start", "--session", "s", "--broker", "mqtt://192.0.2.1"),
        "192.0.2.1",
        "mqtts",
    ),
    "console broker": (("console", "--broker", "http://127.0.0.1"), "--broker", "mqtt://host"),
    "console certificate": (
        ("console", "--tls-cert", "/nowhere", "--tls-key", "/nowhere"),
        "--tls-cert",
        "no certificate",
    ),
    "console open to others": (("console", "--host", "0.0.0.0"), "--host", "--tls-cert"),
    "console faults": (("console", "--table", "--faults", "gremlins"), "--faults", "gremlins"),
    "component": (("journal", "show", "--component", "cook"), "--component", "game-manager"),
    "journal": (("journal", "show", "/nowhere.sqlite"), "/nowhere.sqlite", "does not exist"),
    "no match yet": (("journal", "show"), "no match has been played", "journal"),
    "orientation": (("board", "watch", "--orientation", "upside-down"), "--orientation", "rotated"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_one_line_and_code_2(edgechess: Any, case: str) -> None:
    words, *told = WRONG[case]
    done = edgechess(*words)
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith(f"edgechess {words[0]}: ")
    for text in told:
        assert text in done.err


def test_a_port_that_is_taken_is_named_before_anything_is_started(edgechess: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = edgechess("console", "--port", str(port))
    assert (done.code, done.out) == (2, "")
    assert done.err == f"edgechess console: --port {port}: Address already in use; name another one\n"


@pytest.mark.parametrize(
    "words",
    [
        ("dance",),
        ("play", "--loud"),
        ("play", "--max-plies", "0"),
        ("play", "--speed", "1000"),
        ("table", "--port", "99999"),
        ("publish", "start"),
        ("publish", "move", "--session", "s"),
        ("twin", "hand", "dance"),
    ],
)
def test_what_the_option_parser_refuses(edgechess: Any, words: tuple[str, ...]) -> None:
    done = edgechess(*words)
    assert done.code == 2
    assert "Error" in done.err
    assert "Traceback" not in done.err


def test_a_file_that_is_no_journal(edgechess: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Nothing to see here, and long enough to be something.\n" * 20)
    done = edgechess("journal", "show", str(tmp_path / "notes.txt"))
    assert done.code == 2
    assert "notes.txt" in done.err


@pytest.mark.parametrize(
    "verb",
    [(), *((name,) for name in VERBS), ("publish", "start"), ("publish", "move"), ("board", "watch"),
     ("journal", "show"), ("twin", "hand"), ("twin", "hand", "move"), ("twin", "hand", "arrange")],
)  # fmt: skip
def test_every_command_explains_itself(edgechess: Any, verb: tuple[str, ...]) -> None:
    done = edgechess(*verb, "--help")
    assert done.code == 0
    assert done.out.startswith("Usage: ")
    assert done.err == ""


def test_the_list_of_commands_imports_none_of_them_and_cuts_no_line() -> None:
    program = (
        "import sys\nsys.argv = ['edgechess', '--help']\nfrom edgechess_cli.main import VERBS, main\n"
        "try:\n    main()\nfinally:\n    assert not {module for module, _, _ in VERBS.values()} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb, (_, _, line) in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(line)}$", done.stdout, re.MULTILINE), verb


@pytest.mark.parametrize("verb", ["play", "table", "publish", "doctor"])
def test_help_tells_the_exit_codes(edgechess: Any, verb: str) -> None:
    assert "exit" in edgechess(verb, "--help").out.lower()


def test_without_stockfish_the_builtin_engine_plays_and_says_so(
    edgechess: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgechess_cli import play
    from edgechess_cli.match_options import MatchOptions, MatchSummary

    played: list[MatchOptions] = []

    def remember(options: MatchOptions, *_: object, console: bool) -> MatchSummary:
        played.append(options)
        return MatchSummary("*", "max-plies", 0, 0, 0, 0, BARE, 0.0)

    monkeypatch.setattr(play, "find_stockfish", lambda: None)
    monkeypatch.setattr(play, "_play", remember)
    done = edgechess("play", "--black", "random", "--json")
    assert done.code == 0
    assert (played[0].white, played[0].black) == ("builtin", "random")
    assert "Stockfish is not installed" in done.err
    assert done.out.startswith('{"event": "summary"')
    assert edgechess("play", "--white", "random", "--black", "random").err == "", "nobody asked for Stockfish"


def test_a_match_that_was_abandoned_is_code_1(edgechess: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgechess_cli import play
    from edgechess_cli.match_options import MatchSummary

    def end(termination: str) -> int:
        summary = MatchSummary("*", termination, 3, 3, 0, 0, BARE, 1.0)
        monkeypatch.setattr(play, "_play", lambda *_, console: summary)
        code: int = edgechess("play", "--white", "random", "--black", "random").code
        return code

    assert end("max-plies") == 0
    assert end("abandoned: replay ended") == 0
    assert end("abandoned: engine failed") == 1


def test_doctor(edgechess: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    found = [json.loads(line) for line in edgechess("doctor", "--json").out.splitlines()]
    assert {
        "python",
        "stockfish",
        "mosquitto",
        "greengrass",
        "loopback",
        "pseudo-terminals",
        "state",
        "arms",
        "board",
    } == {finding["what"] for finding in found}
    assert edgechess("doctor").code == (1 if any(finding["verdict"] == "missing" for finding in found) else 0)
    monkeypatch.setenv("EDGECHESS_STOCKFISH", "/nowhere/stockfish")
    broken = edgechess("doctor")
    assert broken.code == 1
    assert "MISSING  stockfish" in broken.out


def test_the_list_of_faults(edgechess: Any) -> None:
    done = edgechess("twin", "--list-faults")
    assert done.code == 0
    assert any(line.startswith("slip") for line in done.out.splitlines())
