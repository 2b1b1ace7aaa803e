"""Debian's Chromium, driven by Playwright, which knows asyncio only and brings no browser of its own here."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser")
ARGUMENTS = (
    "--no-sandbox",  # of pages that this machine serves itself; as root there is no sandbox to be had
    "--disable-gpu",
    "--disable-dev-shm-usage",
)


class NoBrowser(RuntimeError):
    """The text says what is missing and how to get it."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A Playwright browser. Raises NoBrowser."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise NoBrowser("Chromium is not installed: apt-get install chromium")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        raise NoBrowser("the Python package playwright is not installed: pip install 'edgechess[browser]'") from None
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()
