"""The page in Debian's Chromium."""

import shutil

import pytest
from tests.chromium import SWITCHES


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(SWITCHES)
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Opens a page that fails the test if it logs an error or asks for anything from outside.

    That the server cannot be reached any more, when a test is over, is no error.
    """
    trouble, contexts = [], []

    def heard(message):
        if message.type == "error" and "net::ERR_" not in message.text:
            trouble.append(message.text)

    def open_page(served, wait="figcaption", **how):
        context = chromium.new_context(viewport={"width": 1100, "height": 800}, **how)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        own = served.address.split("?")[0]
        page.on("request", lambda r: None if r.url.startswith(own) else trouble.append(r.url))
        page.goto(served.address)
        page.wait_for_selector(wait)
        assert "token" not in page.url
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not trouble
