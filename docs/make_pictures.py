"""Takes the pictures of the documentation from the running app.

    python -m docs.make_pictures            # docs/images/unmask-light.png
    python -m docs.make_pictures --all DIR  # light and dark, wide and narrow, to look at
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.browser import chromium, opened, served

IMAGES = Path(__file__).resolve().parent / "images"
SHOWN_STEP = 9


def main() -> None:
    """Take the README's picture, or the whole set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", type=Path, metavar="DIR", help="take every theme and width into this folder")
    folder = parser.parse_args().all
    with served() as (address, _), chromium() as browser:
        if folder is None:
            IMAGES.mkdir(exist_ok=True)
            _take(browser, address, IMAGES / "unmask-light.png", 1440, dark=False, whole=False)
            return
        folder.mkdir(parents=True, exist_ok=True)
        for dark in (False, True):
            for width in (1440, 390):
                name = f"unmask-{'dark' if dark else 'light'}-{width}.png"
                _take(browser, address, folder / name, width, dark=dark)


def _take(browser: Browser, address: str, path: Path, width: int, *, dark: bool, whole: bool = True) -> None:
    """Take one picture, of the whole page or of its first view."""
    page = opened(browser, address, width=width, height=880, dark=dark)
    _show(page)
    page.screenshot(path=path, full_page=whole)
    page.context.close()


def _show(page: Page) -> None:
    """Bring the recorded example to the step of the picture, and pin the token that is decided last."""
    page.wait_for_function("window.unmask.trace.steps > 0")
    page.evaluate("step => { window.unmask.clock.pause(); window.unmask.clock.seek(step);"
                  " window.unmask.select.togglePin(window.unmask.trace.written.at(-1)[0]); }", SHOWN_STEP)
    page.wait_for_function("step => document.querySelector('[data-painted]').dataset.painted === String(step)", arg=SHOWN_STEP)
    page.wait_for_function("window.unmask.trace.candidateSteps.get(1)?.size > 1")  # the course of the candidates is there
    page.wait_for_function("document.querySelector('.model-state.is-ready')")
    page.evaluate("document.fonts.ready")


if __name__ == "__main__":
    main()
