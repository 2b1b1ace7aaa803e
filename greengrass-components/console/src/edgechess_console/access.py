"""Who may watch and who may act: tokens, signed sessions, and how often somebody may ask. Pure but for the clock given.

A session is a cookie `role.expires.nonce.signature`; nothing is kept here, so it outlives a restart where tokens are set
(they are the key), and ends everywhere when a token is changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import secrets
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from edgechess_console.settings import LOOPBACK, Settings
from edgechess_kit.errors import SettingsError

Role = Literal["operator", "viewer"]

TOKEN_LEAST = 16  # characters; `openssl rand -hex 16` makes 32
COOKIE = "edgechess_session"
SECURE_COOKIE = "__Host-edgechess_session"  # browsers take this name only with Secure, from this very host
KEYS_LIMIT = 2000  # addresses that a limit remembers; the oldest is forgotten

VARIABLES = {"operator": "EDGECHESS_TOKEN_OPERATOR", "viewer": "EDGECHESS_TOKEN_VIEWER"}


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """Empty: there is none. Never shown: it has no repr."""

    operator: str = ""
    viewer: str = ""

    @property
    def any(self) -> bool:
        return bool(self.operator or self.viewer)


def tokens_of(settings: Settings, environment: Mapping[str, str] | None = None) -> Tokens:
    """Raises SettingsError for a file that cannot be read and for a token that is too short to be one."""
    around = os.environ if environment is None else environment
    return Tokens(
        _token("operator", settings.operator_token_file, around), _token("viewer", settings.viewer_token_file, around)
    )


def _token(role: Role, file: str, environment: Mapping[str, str]) -> str:
    where, text = VARIABLES[role], environment.get(VARIABLES[role], "")
    if file:
        where = f"console.{role}_token_file"
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{where}: {file} cannot be read: {error}") from error
    token = text.strip()
    if (file or token) and len(token) < TOKEN_LEAST:
        raise SettingsError(
            f"{where}: a token needs at least {TOKEN_LEAST} characters: make one with `openssl rand -hex 16`"
        )
    return token


def require_safe(settings: Settings, tokens: Tokens) -> None:
    """Raises SettingsError with the cure where the page could be reached by others without TLS or token, or its TLS cannot be."""
    if bool(settings.certificate_file) != bool(settings.key_file):
        missing = "key_file" if settings.certificate_file else "certificate_file"
        raise SettingsError(f"console.{missing} is missing: TLS needs a certificate and its key")
    if tokens.viewer and hmac.compare_digest(_digest(tokens.viewer), _digest(tokens.operator)):
        raise SettingsError("console.viewer_token_file: viewers have the operators' token: make another one")
    if settings.host not in LOOPBACK:
        _require_lock(settings, tokens)
    if settings.certificate_file:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                settings.certificate_file, settings.key_file
            )
        except OSError as error:  # what is no PEM is an SSLError, which is one
            files = f"{settings.certificate_file} and {settings.key_file}"
            raise SettingsError(f"console.certificate_file: {files} are no certificate and its key: {error}") from error


def _require_lock(settings: Settings, tokens: Tokens) -> None:
    if not settings.certificate_file:
        raise SettingsError(
            f"console.host is {settings.host}, which others can reach: name certificate_file and key_file (TLS),"
            " or listen on 127.0.0.1"
        )
    if not tokens.operator:
        raise SettingsError(
            f"console.host is {settings.host}, which others can reach: name operator_token_file (or set"
            f" {VARIABLES['operator']}), or listen on 127.0.0.1"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    role: Role
    expires_at: float
    nonce: str


class Access:
    """Sessions of one server."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._tokens = tokens
        self._hours = settings.login_hours
        self._hosts = {*LOOPBACK, *settings.host_names} if settings.host in LOOPBACK else set()
        self.secure = bool(settings.certificate_file)
        self.login = tokens.any
        material = f"{tokens.operator}\n{tokens.viewer}".encode() if tokens.any else secrets.token_bytes(32)
        self._key = hashlib.sha256(b"edgechess console session\n" + material).digest()

    def cookie_name(self, host: str | None) -> str:
        """With the port of the request's `host`: a browser sends cookies of one machine to all its ports, and two consoles
        there must not end each other's sessions."""
        port = _port(host or "")
        name = SECURE_COOKIE if self.secure else COOKIE
        return name if port is None else f"{name}_{port}"

    def role_of(self, token: str) -> Role | None:
        """Both comparisons are made, and take the same time whatever is wrong."""
        given = hashlib.sha256(token.encode()).digest()
        operator = bool(self._tokens.operator) and hmac.compare_digest(given, _digest(self._tokens.operator))
        viewer = bool(self._tokens.viewer) and hmac.compare_digest(given, _digest(self._tokens.viewer))
        return "operator" if operator else "viewer" if viewer else None

    def new_session(self, role: Role, now: float) -> Session:
        return Session(role, now + self._hours * 3600.0, secrets.token_hex(16))

    def cookie(self, session: Session) -> str:
        text = f"{session.role}.{int(session.expires_at)}.{session.nonce}"
        return f"{text}.{self._sign('cookie', text)}"

    def session(self, cookie: str | None, now: float) -> Session | None:
        """None for one that is not ours, or over."""
        role, expires, nonce, signature = (*(cookie or "").split("."), "", "", "", "")[:4]
        if not hmac.compare_digest(self._sign("cookie", f"{role}.{expires}.{nonce}").encode(), signature.encode()):
            return None
        if not expires.isdecimal() or float(expires) <= now:
            return None
        return Session("operator" if role == "operator" else "viewer", float(expires), nonce)

    def csrf(self, session: Session) -> str:
        """What a page of ours knows and a page of somebody else's cannot read."""
        return self._sign("csrf", session.nonce)

    def csrf_fits(self, session: Session, given: str | None) -> bool:
        return hmac.compare_digest(self.csrf(session).encode(), (given or "").encode())

    def host_fits(self, host: str | None) -> bool:
        """On loopback only names of loopback: a foreign name that leads here is a page that pretends to be ours."""
        return not self._hosts or _name(host or "") in self._hosts

    def origin_fits(self, origin: str | None, site: str | None, host: str | None) -> bool:
        """A browser says where a request comes from; who is no browser has no cookie to abuse either. Where a proxy in front
        of us makes TLS, the browser says `https` and we do not."""
        if site is not None and site not in ("same-origin", "none"):
            return False
        proxied = site == "same-origin" and origin == f"https://{host}"
        return origin is None or proxied or origin == f"{'https' if self.secure else 'http'}://{host}"

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _port(host: str) -> int | None:
    try:
        return urlsplit(f"//{host}").port
    except ValueError:
        return None


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class Limit:
    """A bucket for each key: `burst` at once, refilled with `rate_s` a second."""

    def __init__(self, rate_s: float, burst: float) -> None:
        self._rate_s = rate_s
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, now: float) -> bool:
        """False: too often."""
        left, at = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + max(now - at, 0.0) * self._rate_s)
        allowed = left >= 1.0
        self._buckets[key] = (left - 1.0 if allowed else left, now)
        if len(self._buckets) > KEYS_LIMIT:
            del self._buckets[next(iter(self._buckets))]
        return allowed
