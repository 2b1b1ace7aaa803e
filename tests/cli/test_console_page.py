"""The page's port is held from the moment that it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechess_cli.console_page import open_page
from edgechess_kit.listening import listening


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHESS_STATE", str(tmp_path))


def test_nobody_takes_the_port_before_the_console_starts() -> None:
    with open_page(ports=(0,)) as page:
        port = page.settings["port"]
        assert page.address == f"http://127.0.0.1:{port}/"
        with pytest.raises(OSError, match="in use"):
            listening("127.0.0.1", port)
    listening("127.0.0.1", port).close()


def test_another_port_is_taken_where_the_usual_one_is_in_use() -> None:
    with listening("127.0.0.1", 0) as usual:
        port = usual.getsockname()[1]
        with open_page(ports=(port, 0)) as page:
            assert page.settings["port"] != port
        with pytest.raises(OSError, match="in use"), open_page(ports=(port,)):
            pass


def test_a_page_with_a_certificate_has_a_secure_address() -> None:
    with open_page(ports=(0,), certificate_file="cert.pem") as page:
        assert page.address.startswith("https://127.0.0.1:")
