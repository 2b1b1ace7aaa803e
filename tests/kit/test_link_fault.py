"""What is said of a connection that cannot be had: literal errors of the TLS and TCP layers."""

from __future__ import annotations

import socket
import ssl

import pytest

from edgechess_kit.link_fault import fault_of


def verification(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:2580)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "said", "definite"),
    [
        (verification(62, "Hostname mismatch"), "is for another name: a wrong address or region?", True),
        (verification(64, "IP address mismatch"), "is for another name", True),
        (verification(10, "certificate has expired"), "cannot be trusted (certificate has expired)", True),
        (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "h:1 refuses our certificate", True),
        (alert("TLSV1_ALERT_NO_APPLICATION_PROTOCOL"), "does not speak the ALPN protocol", True),
        (alert("WRONG_VERSION_NUMBER"), "is that port one for TLS?", True),
        (socket.gaierror(-2, "Name or service not known"), "there is no host named h", True),
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens at h:1", False),
        (TimeoutError(), "no answer from h:1", False),
        (ConnectionResetError(104, "Connection reset by peer"), "h:1: [Errno 104]", False),
    ],
)
def test_each_fault_has_its_sentence(error: OSError, said: str, definite: bool) -> None:
    fault = fault_of(error, "h", 1, shows_certificate=False)
    assert said in fault.text
    assert fault.definite is definite


def test_the_cause_inside_a_clients_own_error() -> None:
    wrapped = RuntimeError("[Errno 111] Connection refused")
    wrapped.__context__ = ConnectionRefusedError(111, "Connection refused")  # as `raise … from None` leaves it
    assert "nothing listens" in fault_of(wrapped, "h", 1, shows_certificate=False).text


def test_a_broker_that_just_leaves_after_it_saw_our_certificate() -> None:
    said = fault_of(ConnectionResetError(104, "reset"), "h", 1, shows_certificate=True).text
    assert "is our certificate known there, active, and allowed to connect" in said
