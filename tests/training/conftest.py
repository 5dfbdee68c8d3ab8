"""A real browser, and a promise, for pages."""

import shutil

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
QUIET += ("--disable-background-networking", "--disable-component-update", "--window-size=1000,1400")


@pytest.fixture
def browser(tmp_path):
    """Chromium with logs of its network and console; skipped where there is none."""
    if not (BROWSER and DRIVER):
        pytest.skip("no Chromium with its driver is installed")
    selenium = pytest.importorskip("selenium.webdriver")
    options = selenium.ChromeOptions()
    for flag in (*QUIET, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def promised_record():
    """What `knowing.py` writes of a promise that counts on familiarity, as far as a page reads it."""

    def made(threshold: float, weights: list[float], bias: float) -> dict:
        wordings = [["Where was ", " born?"], ["When was ", " born?"]]
        return {
            "confidence": "combined",
            "abstention": {"threshold": threshold, "explanation": "promised"},
            "familiarity": {"weights": weights, "bias": bias, "wordings": wordings, "base_model": None},
        }

    return made
