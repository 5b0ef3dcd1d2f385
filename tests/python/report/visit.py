"""A visit to a page."""

from pathlib import Path


class Visit:
    """A page in a tab of its own, and all that went wrong or went out while it was open."""

    def __init__(self, browser, path: Path, **context):
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | context)
        self.page = self.context.new_page()
        self.console, self.requests = [], []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.set_default_timeout(5000)
        self.page.goto(path.as_uri())

    def close(self):
        self.context.close()


def to_samples(page):
    """Scrolls to the browser of samples and waits until it has been built."""
    page.locator("#samples").scroll_into_view_if_needed()
    page.locator("#sample-range:not(:empty)").wait_for()
