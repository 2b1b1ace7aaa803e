"""Where an MQTT broker listens, read from an address and certificate files."""

from __future__ import annotations

import dataclasses
import ipaddress
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from edgechess_nucleus.errors import NucleusError

PORT_PLAIN, PORT_TLS = 1883, 8883  # IANA


class AddressError(NucleusError):
    """The address or a certificate cannot be used; the text says which and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class MqttAddress:
    """`tls` None is a plain connection, allowed on loopback only. Two are equal when they lead to the same place."""

    host: str
    port: int
    tls: ssl.SSLContext | None = dataclasses.field(default=None, compare=False)


def read_address(
    url: str, *, ca_file: Path | None = None, cert_file: Path | None = None, key_file: Path | None = None
) -> MqttAddress:
    """`mqtt://127.0.0.1:1883` or `mqtts://host:8883` with a client certificate. Raises AddressError."""
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path not in ("", "/"):
        raise AddressError(f"{url}: expected mqtt://host[:port] or mqtts://host[:port]")
    if parts.username or parts.password:
        raise AddressError("no credentials in a broker's address; use a client certificate")
    try:
        port = parts.port or (PORT_TLS if parts.scheme == "mqtts" else PORT_PLAIN)
    except ValueError as error:
        raise AddressError(f"{url}: {error}") from error
    if parts.scheme == "mqtts":
        return MqttAddress(parts.hostname, port, _tls(ca_file, cert_file, key_file))
    if not is_loopback(parts.hostname):
        raise AddressError(f"{url}: plain mqtt is for loopback only; use mqtts:// with certificates")
    return MqttAddress(parts.hostname, port)


def is_loopback(host: str) -> bool:
    """By its text; no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    if (cert_file is None) != (key_file is None):
        raise AddressError("a client certificate and its key belong together: one of the two files is missing")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise AddressError(f"{ca_file}: not read as certificates: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file is not None and key_file is not None:
        try:
            context.load_cert_chain(cert_file, key_file)
        except (OSError, ssl.SSLError) as error:
            raise AddressError(f"{cert_file} with {key_file}: not read as certificate and key: {error}") from error
    return context
