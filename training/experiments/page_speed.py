"""How long a person waits for a reply: of the page, and of the folder that asks inside a browser."""

import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic
from closedbook.training.command_line import parse_flags
from closedbook.training.page.arguments import read_documents, read_question_texts
from closedbook.training.page.replying import Asker, read_promise

_ASK = """
const [questions, done] = arguments;
(async () => {
  const found = [];
  for (const question of questions) {
    const start = performance.now();
    await closedbook.ask(question);
    found.push((performance.now() - start) / 1000);
  }
  return found;
})().then(done, (error) => done(String(error)));
"""
_MOST_SECONDS = 300  # that a browser may take for all questions


@dataclass
class PageSpeedArguments:
    """Whom to ask, what, and how often."""

    model: str = field(metadata={"help": "folder of the model"})
    question_file: str = field(metadata={"help": "questions, one a line; what follows a tab is not read"})
    documents: str | None = field(default=None, metadata={"help": "what the model read, to look sources up in"})
    browser_dir: str | None = field(
        default=None, metadata={"help": "its export for the browser, to be asked in Chromium"}
    )
    num_questions: int = field(default=50, metadata={"help": "how many of the questions, the first ones"})
    num_threads: int = field(default=2, metadata={"help": "CPU threads of the page"})
    output: str | None = field(default=None, metadata={"help": "file for the JSON object"})


def main(argv: list[str]) -> dict[str, Any]:
    """Time every reply, and return what is written.

    Raises:
        ValueError: for counts below 1, too few questions, or a browser that is not there.
    """
    (args,) = parse_flags(PageSpeedArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    for name in ("num_questions", "num_threads"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")
    if args.browser_dir is not None:
        _check_browser(args.browser_dir)
    questions = read_question_texts(args.question_file)[: args.num_questions + 1]
    if len(questions) < 2:
        raise ValueError(f"--question_file {args.question_file} has one question: the first is not counted")
    torch.set_num_threads(args.num_threads)
    asker = Asker(args.model, read_promise(args.model), read_documents(args.documents) if args.documents else None)
    result: dict[str, Any] = {
        "benchmark": "page",
        "unit": "seconds a question",
        "page": _described(_page(asker, questions)),
    }
    if args.browser_dir is not None:
        ready, seconds = _browser(Path(args.browser_dir), questions)
        result["browser"] = _described(seconds) | {"seconds_until_ready": ready}
    result |= {"settings": asdict(args), **run_environment()}
    if args.output is not None:
        write_json_atomic(args.output, result)
    print(json.dumps(result), flush=True)
    return result


def _page(asker: Asker, questions: Sequence[str]) -> list[float]:
    found = []
    for question in questions:
        start = time.perf_counter()
        reply = asker.reply(question)
        found.append(time.perf_counter() - start)
        if reply.problem:
            raise ValueError(f"{question!r} cannot be asked: {reply.problem}")
    return found[1:]


def _described(seconds: Sequence[float]) -> dict[str, Any]:
    ordered = sorted(seconds)
    return {
        "num_questions": len(ordered),
        "median": statistics.median(ordered),
        "slowest_of_twenty": ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))],
    }


def _check_browser(folder: str) -> None:
    if not (Path(folder) / "settings.json").is_file():
        raise ValueError(f"--browser_dir {folder} is no export for the browser: it has no settings.json")
    if not (_chromium() and shutil.which("chromedriver")):
        raise ValueError("--browser_dir takes Chromium and its chromedriver, which are not installed")
    try:
        import selenium  # noqa: F401
    except ImportError as error:
        raise ValueError("--browser_dir takes the package selenium: pip install 'closedbook[dev]'") from error


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _browser(folder: Path, questions: Sequence[str]) -> tuple[float, list[float]]:
    """Seconds until the model can be asked, and of each question but the first."""
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    with _served(folder) as address, tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = _chromium() or ""
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            driver.set_script_timeout(_MOST_SECONDS)
            start = time.perf_counter()
            driver.get(address)
            WebDriverWait(driver, _MOST_SECONDS, 0.05).until(
                lambda _: driver.find_element("id", "ask").is_enabled()
            )
            ready = time.perf_counter() - start
            found = driver.execute_async_script(_ASK, list(questions))
        finally:
            driver.quit()
    if not isinstance(found, list):
        raise ValueError(f"the browser could not ask: {found}")
    return ready, found[1:]


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
