"""A headless browser, and pages served by this process, for tests."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time

import pytest

from jaxmaze.viewing import server

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


def launched():
    """A browser's context manager; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no chromium is installed")

    @contextlib.contextmanager
    def opened():
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            try:
                yield browser
            finally:
                browser.close()

    return opened()


@contextlib.contextmanager
def served(content):
    """Serve a viewer in a thread; yields its address."""
    import uvicorn

    with socket.create_server((server.HOST, 0)) as bound:
        running = uvicorn.Server(
            uvicorn.Config(server.application(content), log_level="error", lifespan="off")
        )
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.01)
        try:
            yield f"http://{server.HOST}:{bound.getsockname()[1]}"
        finally:
            running.should_exit = running.force_exit = True
            thread.join(10)


class Page:
    """A page in the browser, with what it asked for and what it complained of."""

    def __init__(self, browser, address, width=1200, scheme="light", wait=True):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page, self.asked, self.complaints = context.new_page(), [], []
        self.page.set_default_timeout(20_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        if wait:
            self.page.wait_for_selector("#where:not(:empty)")

    def text(self, selector):
        return self.page.inner_text(selector)

    def texts(self, selector):
        return self.page.locator(selector).all_inner_texts()

    def press(self, key):
        self.page.keyboard.press(key)

    def wait(self, selector, text):
        """Until an element has a text."""
        self.page.locator(selector).filter(has_text=text).first.wait_for()

    def facts(self):
        """What stands beside the picture: name to number."""
        pairs = zip(self.texts(".facts dt"), self.texts(".facts dd"), strict=True)
        return {name: float(value.replace("−", "-").replace(",", "")) for name, value in pairs}
