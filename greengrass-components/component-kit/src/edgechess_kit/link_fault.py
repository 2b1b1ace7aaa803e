"""Why a connection to a broker cannot be had, in one sentence with the cure."""

from __future__ import annotations

import dataclasses
import socket
import ssl

ANOTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL
_REFUSES_US = (
    "ALERT_CERTIFICATE",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
    "ALERT_HANDSHAKE",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """`definite`: trying again will not help before somebody changes something."""

    text: str
    definite: bool = False


def fault_of(error: BaseException, host: str, port: int, *, shows_certificate: bool) -> Fault:
    """`error` as raised by the TLS or TCP layer, or by an MQTT client around it."""
    cause = error if isinstance(error, OSError) else error.__context__ or error
    reason = str(getattr(cause, "reason", "") or cause)
    match cause:
        case ssl.SSLCertVerificationError(verify_code=code) if code in ANOTHER_NAME:
            return Fault(f"the certificate of {host}:{port} is for another name: a wrong address or region?", True)
        case ssl.SSLCertVerificationError(verify_message=message):
            return Fault(f"the certificate of {host}:{port} cannot be trusted ({message}): a wrong authority?", True)
        case ssl.SSLError() if any(word in reason for word in _REFUSES_US):
            return Fault(f"{host}:{port} refuses our certificate ({reason})", True)
        case ssl.SSLError() if "ALPN" in reason or "APPLICATION_PROTOCOL" in reason:
            return Fault(f"{host}:{port} does not speak the ALPN protocol that we ask for ({reason})", True)
        case ssl.SSLError():
            return Fault(f"{host}:{port}: TLS fails ({reason}): is that port one for TLS?", True)
        case socket.gaierror():
            return Fault(f"there is no host named {host}: a wrong address or region?", True)
        case ConnectionRefusedError():
            return Fault(f"nothing listens at {host}:{port}")
        case TimeoutError():
            return Fault(f"no answer from {host}:{port}: a wrong port, or a firewall?")
        case _ if shows_certificate:
            # over TLS 1.3 a broker looks at our certificate after the handshake, and may just leave
            return Fault(
                f"{host}:{port} closed the connection ({cause}): is our certificate known there, active, and allowed to"
                " connect as this client id?"
            )
        case _:
            return Fault(f"{host}:{port}: {cause}")
