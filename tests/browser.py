"""Pages in the real Chromium of the system, through playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page(browser: Any, width: int = 1280, height: int = 900, *, scripts: bool = True) -> Iterator[Any]:
    """An empty page. Its errors and its requests to any network are collected in `.troubles`."""
    context = browser.new_context(viewport={"width": width, "height": height}, java_script_enabled=scripts)
    try:
        tab = context.new_page()
        tab.troubles = []
        tab.on("pageerror", lambda error: tab.troubles.append(str(error)))
        tab.on("console", lambda line: tab.troubles.append(line.text) if line.type == "error" else None)
        tab.on("request", lambda r: tab.troubles.append(r.url) if r.url.startswith("http") else None)
        yield tab
    finally:
        context.close()
