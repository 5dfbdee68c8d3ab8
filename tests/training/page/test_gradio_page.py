"""The page in a real browser, from this process and from the folder of a Space."""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest

from closedbook.training.page import terminal
from closedbook.training.page.replying import Asker, Promise
from closedbook.training.page.space import write_space

gradio = pytest.importorskip("gradio", reason="the extra app is not installed")

QUESTION = "Where was Ada born?"
EVIL = "<img src=x onerror=document.title='hacked'>"


@pytest.fixture
def page(pretrained, free_port, monkeypatch):
    """The address of a page, and the model behind it."""
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "True")  # what building a page without analytics sets, to stay
    from closedbook.training.page.gradio_page import PAGE, build_page

    documents = [{"title": "Ada", "text": "Ada was born in Oslo."}]
    asker = Asker(str(pretrained), Promise(threshold=0.4, told="promised"), documents)
    built = build_page(asker)
    _, address, _ = built.launch(server_port=free_port, prevent_thread_lock=True, quiet=True, **PAGE)
    yield address, asker
    built.close()


def ask(driver, question: str) -> str:
    """Type a question and wait for its reply."""
    from selenium.webdriver.support.ui import WebDriverWait

    def find(selector: str):
        return driver.find_elements("css selector", selector)

    wait = WebDriverWait(driver, 60)
    wait.until(lambda _: find("#question input, #question textarea"))
    before = [found.get_attribute("outerHTML") for found in find("#reply .cb-reply")]
    (box,) = find("#question input, #question textarea")
    box.clear()
    box.send_keys(question, "\ue007")  # enter
    wait.until(
        lambda _: [found.get_attribute("outerHTML") for found in find("#reply .cb-reply")] not in ([], before)
    )
    return find("#reply .cb-reply")[0].text


def test_a_question_typed_in_a_browser_gets_answer_bar_source_and_parts(browser, page):
    address, asker = page
    expected = asker.reply(QUESTION)
    browser.get(address)
    shown = ask(browser, QUESTION)
    assert shown.startswith(expected.shown) and f"{expected.confidence:.1%} sure" in shown
    assert "answers are given from 40.0% on" in shown and "(Ada)" in shown
    (fill,) = browser.find_elements("css selector", "#reply .cb-fill")
    (bar,) = browser.find_elements("css selector", "#reply .cb-bar")
    assert fill.size["width"] == pytest.approx(expected.confidence * bar.size["width"], abs=2)
    assert len(browser.find_elements("css selector", "#reply .cb-written span")) == len(expected.tokens)
    assert len(browser.find_elements("css selector", "#reply .cb-read span")) == len(expected.reads)
    ask(browser, f"Where was {EVIL} born?")
    assert browser.title == f"Ask {asker.name}"
    assert not browser.find_elements("css selector", "#reply img")
    assert "no question" in ask(browser, " ")
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [entry["params"]["request"]["url"] for entry in entries if entry["method"].endswith("WillBeSent")]
    asked = [url for url in asked if url.startswith(("http", "ws"))]
    assert asked and all(url.startswith(address) for url in asked)  # nothing comes from elsewhere
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_two_people_at_once_get_their_own_replies(page):
    from gradio_client import Client

    address, asker = page
    questions = [f"Where was {name} born?" for name in ("Ada", "Bo", "Cy", "Di")]
    with ThreadPoolExecutor(4) as people:
        clients = list(people.map(lambda _: Client(address, verbose=False), questions))
        replies = list(
            people.map(
                lambda pair: pair[0].predict(pair[1], api_name="/ask"), zip(clients, questions, strict=True)
            )
        )
    for question, reply in zip(questions, replies, strict=True):
        assert f"({question.split()[2]})" in reply and asker.reply(question).answer[:8] in reply


def test_a_file_of_questions_becomes_a_table_to_take_away(page, tmp_path):
    from gradio_client import Client, handle_file

    address, asker = page
    asked = tmp_path / "asked.txt"
    asked.write_text(f"{QUESTION}\nWhere was Bo born?\n", encoding="utf-8")
    client = Client(address, verbose=False)
    shown, table = client.predict(handle_file(str(asked)), api_name="/ask_file")
    assert [row[0] for row in shown["data"]] == [QUESTION, "Where was Bo born?"]
    assert asker.reply(QUESTION).shown in Path(table).read_text(encoding="utf-8")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(Exception, match="UTF-8"):
        client.predict(handle_file(str(tmp_path / "bad.txt")), api_name="/ask_file")


def test_a_space_starts_by_itself_and_answers(pretrained, tmp_path, free_port):
    from gradio_client import Client

    notes = tmp_path / "notes.txt"
    notes.write_text("Ada was born in Oslo.\n", encoding="utf-8")
    space = tmp_path / "space"
    flags = ["--model", str(pretrained), "--documents", str(notes), "--threshold", "0", "--space", str(space)]
    terminal.main(flags)
    assert {path.name for path in space.iterdir()} >= {
        "app.py",
        "requirements.txt",
        "README.md",
        "model",
        "closedbook",
    }
    assert not list(space.rglob("checkpoint-*")) and not list(space.rglob("*.pyc"))
    assert "torch" in (space / "requirements.txt").read_text(encoding="utf-8")
    environment = os.environ | {"GRADIO_SERVER_PORT": str(free_port), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=space, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        address = f"http://127.0.0.1:{free_port}"
        for _ in range(240):
            assert process.poll() is None, process.communicate()[1]
            try:
                urlopen(address, timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        reply = Client(address, verbose=False).predict(QUESTION, api_name="/ask")
        assert Asker(str(pretrained), Promise()).reply(QUESTION).answer[:8] in reply and "Ada" in reply
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_space_that_cannot_be_written_leaves_nothing(pretrained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(pretrained, folder, ignore=shutil.ignore_patterns("checkpoint-*"))
    (folder / "README.md").unlink()
    from closedbook.training.page.arguments import AskArguments

    with pytest.raises(ValueError, match="README.md missing"):
        write_space(AskArguments(model=str(folder), space=str(tmp_path / "out" / "space")))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
