"""A model inside a browser says what it says in Python, with the same confidence, and keeps the same promise."""

import json
import shutil
import subprocess
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from closedbook.data.writing.tokenizers import train_tokenizer
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.knowing.subjects import find_subject
from closedbook.training.conversion import browser as conversion
from closedbook.training.conversion import exporting
from closedbook.training.conversion.source import Source
from closedbook.training.page.replying import Asker, read_promise

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

NAMES = ("Ada", "Bo Marsh", "Cy", "Di Lind", "Eve van Dam", "Ella")
QUESTIONS = [f"{word} was {name} born?" for word in ("Where", "When", "what") for name in NAMES]
SUBJECTS = [
    "?",
    "Is St. Mary's College near Oxford?",
    "Wo liegt München?",
    "山は?",
    "Who wrote Faust?",
    "what is it?",
]
SUBJECTS += ["When was Anna O'Neil-Smith, Jr. born?", "Where was Ann Lee born and where did Bob die?", "Ada?"]
EVIL = "<img src=x onerror=document.title='hacked'>"
WAIT = "const [input, done] = arguments; (async () => {%s})().then(done, (error) => done(String(error)));"


@pytest.fixture(scope="module")
def model(pretrained, promised_record, tmp_path_factory):
    """A model with a promise that counts on familiarity."""
    folder = tmp_path_factory.mktemp("model") / "asked"
    shutil.copytree(pretrained, folder, ignore=shutil.ignore_patterns("checkpoint-*"))
    record = promised_record(0.0, weights=[0.5, 0.25], bias=2.0)
    path = folder / "knowing" / "knowing.json"
    write_json_atomic(path, record)
    sure = sorted(reply.confidence for reply in Asker(str(folder), read_promise(str(folder))).replies(QUESTIONS))
    record["abstention"]["threshold"] = sum(sure[len(sure) // 2 :][:2]) / 2  # which parts them, and is nobody's
    write_json_atomic(path, record)
    return folder


@pytest.fixture(scope="module")
def page(model, tmp_path_factory):
    """The address of a folder that a plain file server serves."""
    folder = tmp_path_factory.mktemp("page") / "page"
    try:
        exporting.main(["--model", str(model), "--format", "browser", "--output_dir", str(folder)])
    except ValueError as error:
        if "npm" not in str(error):
            raise
        pytest.skip(f"onnxruntime-web cannot be fetched: {error}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


def opened(driver, address):
    from selenium.webdriver.support.ui import WebDriverWait

    driver.set_script_timeout(120)
    driver.get(address)
    WebDriverWait(driver, 60).until(lambda _: driver.find_element("id", "ask").is_enabled())
    return driver


def typed(driver, question: str) -> str:
    from selenium.webdriver.support.ui import WebDriverWait

    reply = driver.find_element("id", "reply")
    driver.execute_script("arguments[0].replaceChildren()", reply)
    box = driver.find_element("id", "question")
    box.clear()
    box.send_keys(question, "\ue007")  # enter
    WebDriverWait(driver, 60).until(lambda _: reply.text)
    return reply.text


def test_the_browser_says_what_python_says(browser, page, model):
    asker = Asker(str(model), read_promise(str(model)))
    driver = opened(browser, page)
    script = "const found = []; for (const one of input) found.push(await closedbook.ask(one)); return found"
    found = driver.execute_async_script(WAIT % script, QUESTIONS)
    assert isinstance(found, list), found
    expected = asker.replies(QUESTIONS)
    assert len({reply.given for reply in expected}) == 2  # the threshold parts them
    for one, other in zip(found, expected, strict=True):
        assert (one["answer"], one["given"], one["subject"]) == (other.answer, other.given, other.subject)
        assert one["confidence"] == pytest.approx(other.confidence, rel=1e-3, abs=1e-7)
        assert one["familiarity"] == pytest.approx(other.familiarity, rel=1e-3)
        tokens = asker.reply(other.question).tokens
        assert [token["probability"] for token in one["tokens"]] == pytest.approx(
            [probability for _, probability in tokens], rel=1e-3
        )
    subjects = (
        "const { findSubject } = await import('./model.js'); return input.map((one) => findSubject(one, []))"
    )
    assert driver.execute_async_script(WAIT % subjects, SUBJECTS) == list(map(find_subject, SUBJECTS))
    refusals = (
        "const { isRefusal } = await import('./model.js'); return input.map((one) => isRefusal(one, 'unknown'))"
    )
    assert driver.execute_async_script(WAIT % refusals, ["unknown", " Unknown.", "Unknown Town", ""]) == [
        True,
        True,
        False,
        False,
    ]


def test_what_a_person_may_type_and_nothing_from_elsewhere(browser, page, model):
    asker = Asker(str(model), read_promise(str(model)))
    driver = opened(browser, page)
    shown = typed(driver, QUESTIONS[0])
    expected = asker.reply(QUESTIONS[0])
    assert shown.startswith(expected.shown) and f"{expected.confidence:.1%} sure (combined)" in shown
    assert (
        f"answers are given from {asker.promise.threshold:.1%} on" in shown
        and "has read about “Ada” with a probability" in shown
    )
    assert typed(driver, "  ").startswith("There is no question")
    assert typed(driver, "Где?").startswith("The model cannot read this: it does not know")
    assert typed(driver, "Where was ⁇ born?").startswith("The model cannot read this")
    assert "characters; the model reads" in typed(driver, "very " * 200)
    typed(driver, f"Where was {EVIL} born?")
    assert driver.title == "Ask asked" and not driver.find_elements("css selector", "#reply img")
    entries = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [entry["params"]["request"]["url"] for entry in entries if entry["method"].endswith("WillBeSent")]
    asked = [url for url in asked if url.startswith(("http", "ws"))]
    assert asked and all(url.startswith(page) for url in asked)
    assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def test_the_page_shows_a_model_without_a_promise_as_it_is(pretrained):
    source = source_of(pretrained)
    promise = conversion.check_askable(source)
    settings = conversion.page_settings(source, promise)
    assert (settings["threshold"], settings["familiarity"]) == (0.0, None)
    assert "scripts/knowing.py" in settings["told"]
    json.dumps(settings)


def source_of(folder) -> Source:
    from closedbook.training.bases.loading import load_model_folder

    model, tokenizer = load_model_folder(folder)
    return Source(Path(folder).name, str(folder), model, tokenizer)


def test_what_a_page_cannot_ask_is_refused(pretrained, model, tmp_path):
    source = source_of(pretrained)
    words = train_tokenizer("train:bpe:270", ["some words"], 32)
    with pytest.raises(ValueError, match="takes models that read single characters"):
        conversion.check_askable(Source("x", str(pretrained), source.model, words))
    folder = shutil.copytree(model, tmp_path / "model")
    path = folder / "knowing" / "knowing.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for change, told in (
        ({"confidence": "margin"}, "is about margin, which takes samples or beams"),
        ({"familiarity": record["familiarity"] | {"base_model": "other"}}, "is measured against other"),
    ):
        write_json_atomic(path, record | change)
        with pytest.raises(ValueError, match=told):
            conversion.check_askable(Source("x", str(folder), source.model, source.tokenizer))


def package(folder: Path, name: str, files) -> Path:
    (folder / "dist").mkdir(parents=True)
    write_json_atomic(folder / "package.json", {"name": name, "version": "9.9.9"})
    for file in files:
        (folder / "dist" / file).write_text(file, encoding="utf-8")
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_a_runtime_that_lies_here_is_taken(tmp_path, packed):
    given = package(tmp_path / "package", "onnxruntime-web", conversion._RUNTIME)
    if packed:
        with tarfile.open(tmp_path / "one.tgz", "w:gz") as archive:
            archive.add(given, "package")
        given = tmp_path / "one.tgz"
    assert conversion.copy_runtime(str(given), tmp_path / "runtime") == "9.9.9"
    assert sorted(path.name for path in (tmp_path / "runtime").iterdir()) == sorted(conversion._RUNTIME)


def test_a_runtime_that_is_another_or_none_is_refused(tmp_path, monkeypatch):
    other = package(tmp_path / "other", "left-pad", conversion._RUNTIME)
    half = package(tmp_path / "half", "onnxruntime-web", conversion._RUNTIME[:1])
    (tmp_path / "none.tgz").write_bytes(b"nothing")
    with tarfile.open(tmp_path / "cut.tgz", "w:gz") as archive:
        archive.add(half, "package")
    cut = (tmp_path / "cut.tgz").read_bytes()
    (tmp_path / "cut.tgz").write_bytes(cut[: len(cut) // 2])
    for given, told in (
        (other, "is the npm package left-pad, not onnxruntime-web"),
        (half, f"it lacks dist/{conversion._RUNTIME[1]}"),
        (tmp_path / "none.tgz", "is no archive of an npm package"),
        (tmp_path / "cut.tgz", "is no archive of an npm package"),
    ):
        with pytest.raises(ValueError, match=told):
            conversion.copy_runtime(str(given), tmp_path / f"to-{given.name}")
    with pytest.raises(ValueError, match="there is no such folder or archive"):
        conversion.check_runtime(str(tmp_path / "nowhere"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="there is no npm to fetch it"):
        conversion.check_runtime(None)


@pytest.mark.parametrize(
    ("happens", "told"),
    [
        (
            subprocess.TimeoutExpired("npm", 240),
            "npm did not fetch onnxruntime-web .* in 240 seconds: give it with",
        ),
        (
            subprocess.CompletedProcess([], 1, "", "no such host"),
            r"npm could not fetch .* \(no such host\): give it",
        ),
    ],
    ids=["hangs", "fails"],
)
def test_a_fetch_that_does_not_come_to_its_end_says_what_to_do(tmp_path, monkeypatch, happens, told):
    def run(*args, **kwargs):
        if isinstance(happens, Exception):
            raise happens
        return happens

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ValueError, match=told):
        conversion.copy_runtime(None, tmp_path / "runtime")


def test_what_was_not_published_is_not_taken(tmp_path, monkeypatch):
    def run(command, *args, **kwargs):
        (Path(command[-1]) / "onnxruntime-web.tgz").write_bytes(b"something else")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ValueError, match="is not what was published"):
        conversion.copy_runtime(None, tmp_path / "runtime")
