"""Sessions, tokens and limits alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgechess_console.access import KEYS_LIMIT, Access, Limit, Tokens, tokens_of
from edgechess_console.settings import Settings
from edgechess_kit.errors import SettingsError

TOKENS = Tokens("o" * 20, "v" * 20)


def test_a_session_is_taken_as_it_was_given_until_it_expires() -> None:
    access = Access(Settings(login_hours=1.0), TOKENS)
    session = access.new_session("viewer", 1000.0)
    cookie = access.cookie(session)
    read = access.session(cookie, 1001.0)
    assert read is not None
    assert (read.role, read.nonce) == ("viewer", session.nonce)
    assert access.session(cookie, 1000.0 + 3600.0) is None


@pytest.mark.parametrize("position", range(0, 110, 7))
def test_a_session_that_was_changed_anywhere_is_none(position: int) -> None:
    access = Access(Settings(), TOKENS)
    cookie = access.cookie(access.new_session("viewer", 1000.0))
    changed = cookie[:position] + ("x" if cookie[position] != "x" else "y") + cookie[position + 1 :]
    assert access.session(changed, 1000.0) is None


@pytest.mark.parametrize("cookie", [None, "", "operator", "operator.9999999999.nonce.", "a.b.c.d.e", "....", "ä.ö.ü.ß"])
def test_nonsense_is_no_session(cookie: str | None) -> None:
    assert Access(Settings(), Tokens()).session(cookie, 0.0) is None


def test_a_changed_token_ends_every_session() -> None:
    cookie = Access(Settings(), TOKENS).cookie(Access(Settings(), TOKENS).new_session("operator", 0.0))
    assert Access(Settings(), TOKENS).session(cookie, 0.0) is not None
    assert Access(Settings(), dataclasses.replace(TOKENS, operator="n" * 20)).session(cookie, 0.0) is None


def test_roles_follow_the_token_and_an_empty_one_is_nobodys() -> None:
    access = Access(Settings(), Tokens(operator="o" * 20))
    assert [access.role_of(text) for text in ("o" * 20, "", "v" * 20, "ö")] == ["operator", None, None, None]
    assert Access(Settings(), TOKENS).role_of("v" * 20) == "viewer"


def test_a_token_is_never_shown() -> None:
    assert "o" * 20 not in repr(TOKENS)


def test_a_short_token_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="openssl rand") as caught:
        tokens_of(Settings(operator_token_file=str(tmp_path / "token")), {})
    assert "secret" not in str(caught.value)
    assert tokens_of(Settings(), {"EDGECHESS_TOKEN_VIEWER": "w" * 20}).viewer == "w" * 20


def test_the_cookie_has_the_strict_name_under_tls() -> None:
    access = Access(Settings(certificate_file="c", key_file="k"), TOKENS)
    assert access.cookie_name("table.example") == "__Host-edgechess_session"
    assert access.cookie_name("table.example:8443") == "__Host-edgechess_session_8443"


@pytest.mark.parametrize(
    ("origin", "site", "fits"),
    [
        (None, None, True),
        ("http://127.0.0.1:8088", "same-origin", True),
        ("https://127.0.0.1:8088", "same-origin", True),  # a proxy in front makes TLS
        ("http://127.0.0.1:9999", None, False),
        ("https://127.0.0.1:8088", None, False),
        ("null", None, False),
        (None, "same-site", False),
        (None, "cross-site", False),
    ],
)
def test_where_a_request_may_come_from(origin: str | None, site: str | None, fits: bool) -> None:
    assert Access(Settings(), Tokens()).origin_fits(origin, site, "127.0.0.1:8088") is fits


@pytest.mark.parametrize(
    ("host", "fits"),
    [("localhost:8088", True), ("127.0.0.1", True), ("[::1]:8088", True), ("127.0.0.1.evil.example", False), ("", False), ("[", False), (None, False)],
)  # fmt: skip
def test_which_names_are_ours_on_loopback(host: str | None, fits: bool) -> None:
    assert Access(Settings(), Tokens()).host_fits(host) is fits


def test_a_limit_lets_bursts_pass_refills_and_forgets_the_oldest() -> None:
    limit = Limit(1.0, 3.0)
    assert [limit.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert [limit.take("a", 2.0) for _ in range(3)] == [True, True, False]
    for number in range(KEYS_LIMIT):
        limit.take(str(number), 2.0)
    assert limit.take("a", 2.0)
