"""Can a person read the report: offline, with a keyboard, on a telephone, in the dark, on paper, without scripts?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from experiments.report.pages import PAGES

from .conftest import CLAIMS, Built

WIDTHS = {"desktop": (1280, 720), "telephone": (390, 844)}

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it; the environment variable CHROMIUM names another."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("the report's tests need Chromium: apt-get install chromium, or CHROMIUM=/path/to/it")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield opened
        opened.close()


class Watched:
    """A page opened with the network off; what it complained of and what it asked for."""

    def __init__(
        self, browser: Browser, built: Built, name: str = "index.html", anchor: str = "", **context: Any
    ) -> None:
        self.context: BrowserContext = browser.new_context(offline=True, **context)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"file://{built.folder / name}{anchor}")

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Watched]]:
    opened: list[Watched] = []

    def make(built: Built, *arguments: str, **context: Any) -> Watched:
        opened.append(Watched(browser, built, *arguments, **context))
        return opened[-1]

    yield make
    for watched in opened:
        watched.close()


def size(name: str) -> dict[str, int]:
    width, height = WIDTHS[name]
    return {"width": width, "height": height}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [name for name, _ in PAGES])
def test_each_page_opens_offline_fits_and_is_accessible(
    name: str, width: str, scheme: str, agreeing: Built, open_page: Callable[..., Watched]
) -> None:
    watched = open_page(agreeing, name, viewport=size(width), color_scheme=scheme)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    if width == "desktop" and scheme == "light":  # once: what is folded up is the same everywhere
        for closed in page.locator("summary").all():
            closed.click()
    result = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
    assert result.violations_count == 0, result.generate_report()
    assert watched.complaints == []
    assert [url for url in watched.requests if not url.startswith(("file:", "data:"))] == []


def test_axe_would_notice(agreeing: Built, open_page: Callable[..., Watched]) -> None:
    page = open_page(agreeing).page
    page.evaluate("document.querySelector('h1').style.color = '#eeeeee'")
    page.evaluate("document.querySelector('svg').removeAttribute('aria-label')")
    found = {violation["id"] for violation in Axe().run(page).response["violations"]}
    assert {"color-contrast", "svg-img-alt"} <= found


def shown(page: Page) -> list[str]:
    """The claims that the table shows; a space of no width lets their names break."""
    return [row.inner_text().replace("\u200b", "") for row in page.locator("#verdicts tbody tr:visible th").all()]


def test_the_table_filters(agreeing: Built, open_page: Callable[..., Watched]) -> None:
    page = open_page(agreeing).page
    everything = shown(page)
    assert len(everything) == len(CLAIMS)
    page.get_by_role("searchbox").fill("cycle")
    assert len(shown(page)) < len(CLAIMS)
    assert all("cycle" in row.inner_text().lower() for row in page.locator("#verdicts tbody tr:visible").all())
    assert page.get_by_role("status").inner_text() == f"{len(shown(page))} of {len(CLAIMS)} claims shown"
    page.get_by_role("searchbox").fill("")
    page.get_by_role("combobox", name="Verdict").select_option("exact")
    assert [text.replace("\u200b", "") for text in shown(page)] == [
        "dynamics/cycle",
        "edge/sam-limit",
    ]
    page.get_by_role("searchbox").fill("nothing like this")
    assert shown(page) == []
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function(
        f"document.querySelector('#shown').textContent === '{len(CLAIMS)} of {len(CLAIMS)} claims shown'"
    )
    assert shown(page) == everything


def test_every_card_is_reached_by_keyboard(agreeing: Built, open_page: Callable[..., Watched]) -> None:
    page = open_page(agreeing, viewport=size("desktop")).page
    wanted = page.locator("article").evaluate_all("cards => cards.map(card => card.id)")
    reached = []
    for _ in range(200):
        page.keyboard.press("Tab")
        target = page.evaluate("document.activeElement.closest('#verdicts th') && document.activeElement.hash.slice(1)")
        if target:
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.id") == target
            top = page.locator(f"[id='{target}']").bounding_box()
            assert top is not None
            assert -5 <= top["y"] < 720
            reached.append(target)
            page.go_back()
            page.locator(f"#verdicts a[href='#{target}']").focus()
        if len(reached) == len(wanted):
            break
    assert reached == wanted


@pytest.mark.parametrize("width", WIDTHS)
def test_an_anchor_opens_its_card(width: str, agreeing: Built, open_page: Callable[..., Watched]) -> None:
    page = open_page(agreeing, "index.html", "#edge-sam-limit", viewport=size(width)).page
    box = page.locator("#edge-sam-limit").bounding_box()
    assert box is not None
    assert -5 <= box["y"] < 100


def test_it_reads_without_scripts(agreeing: Built, open_page: Callable[..., Watched]) -> None:
    page = open_page(agreeing, java_script_enabled=False).page
    assert page.locator("#verdicts tbody tr").count() == len(CLAIMS)
    assert not page.locator(".filters").is_visible()
    assert page.locator("article svg").count() == len(CLAIMS)


def test_on_paper(agreeing: Built, open_page: Callable[..., Watched]) -> None:
    page = open_page(agreeing, color_scheme="dark").page
    page.emulate_media(media="print")
    assert not page.locator(".filters").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf(format="A4")) > 20_000


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_violated_is_on_the_first_screen(width: str, planted: Built, open_page: Callable[..., Watched]) -> None:
    page = open_page(planted, viewport=size(width)).page
    banner = page.get_by_role("alert")
    box = banner.bounding_box()
    assert box is not None
    assert box["y"] < WIDTHS[width][1] * 0.6
    for name, verdict in (("example/linear", "violated"), ("example/softened", "inconclusive")):
        entry = banner.locator("li", has_text=name)
        assert verdict in entry.inner_text()
        place = entry.bounding_box()
        assert place is not None
        assert place["y"] < WIDTHS[width][1]
        assert (
            verdict in page.locator("#verdicts tr.attention th", has_text=name.split("/")[1]).locator("..").inner_text()
        )


def test_the_planted_report_is_accessible_too(planted: Built, open_page: Callable[..., Watched]) -> None:
    for scheme in ("light", "dark"):
        watched = open_page(planted, color_scheme=scheme)
        result = Axe().run(watched.page)
        assert result.violations_count == 0, result.generate_report()
        assert watched.complaints == []
