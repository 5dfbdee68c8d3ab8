"""What must stay out of every file that is kept: access tokens, passwords, keys. One rule for all who write.

A secret is known by the flag or name that it follows, by its form (the tokens of well-known services, the user of
a URL, a signature in its query), or by its value: that of an environment variable whose name says so, and whatever
`remember_secret` was told. It is replaced by three dots; what is around it stays.
"""

import os
import re
from collections.abc import Sequence
from typing import Any

HIDDEN = "..."
_SHORTEST = 8  # characters: a shorter value would be found in innocent words

# what a flag, a variable or a key of a mapping is called when its value is a secret
_NAME = r"(?:token|secret|password|passwd|passphrase|credentials?|api[_-]?key|access[_-]?key|private[_-]?key)"
_SECRET_NAME = re.compile(
    rf"(?i)(?!.*(?:pad|bos|eos|unk|mask|cls|sep)_token$)(?:.*{_NAME}|(?:.*[_-])?key)"  # those are no secrets
)
_ASSIGNMENT = re.compile(rf"(?i)(\b[\w-]*{_NAME}[\"']?\s*[=:]\s*[\"']?)([^\s\"'&,;}}]+)")
_FORMS = (
    re.compile(r"\b(?:hf|api_org|ghp|gho|ghu|ghs|ghr|github_pat|glpat|sk|pk|rk)[_-][A-Za-z0-9_-]{16,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[A-Za-z0-9_-]{30,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"),  # a signed web token
)
_USER_OF_URL = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@\"'?#]+@")
_QUERY = re.compile(rf"(?i)([?&][\w.-]*(?:{_NAME}|sig|signature|auth|key)[\w.-]*=)[^&\s\"'#]+")

_remembered: set[str] = set()


def remember_secret(value: str | None) -> None:
    """Hide this value from now on, wherever it turns up; one of a few characters would be found everywhere."""
    if value and len(value) >= _SHORTEST:
        _remembered.add(value)


def is_secret_name(name: str) -> bool:
    """Whether the value of a flag, variable or field called so is a secret: `hub_token`, `--wandb-api-key`."""
    return _SECRET_NAME.fullmatch(name.lstrip("-")) is not None


def withhold(text: str) -> str:
    """A text without the secrets that are known by form or value."""
    return _withhold(text, _known_values())


def _withhold(text: str, values: Sequence[str]) -> str:
    for value in values:
        text = text.replace(value, HIDDEN)
    for form in _FORMS:
        text = form.sub(HIDDEN, text)
    text = _USER_OF_URL.sub(rf"\1{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


def withhold_words(words: Sequence[str]) -> list[str]:
    """The words of a command line without secrets, also those that follow a flag or an assignment that says so."""
    told: list[str] = []
    before = ""
    for word in words:
        flag, equals, _ = word.partition("=")
        if before.startswith("-") and "=" not in before and is_secret_name(before) and not word.startswith("--"):
            told.append(HIDDEN)
        elif equals and is_secret_name(flag):
            told.append(f"{flag}={HIDDEN}")
        else:
            told.append(withhold(_ASSIGNMENT.sub(rf"\1{HIDDEN}", word)))
        before = word
    return told


def withhold_all(value: Any) -> Any:
    """The same for whatever JSON can hold: strings in lists and mappings, and all that a secret name is for."""
    return _withhold_all(value, _known_values())  # looked up once: a record may hold thousands of names


def _withhold_all(value: Any, values: Sequence[str]) -> Any:
    if isinstance(value, dict):
        return {
            name: HIDDEN
            if held and isinstance(held, str) and is_secret_name(str(name))
            else _withhold_all(held, values)
            for name, held in value.items()
        }
    if isinstance(value, list | tuple):
        return [_withhold_all(item, values) for item in value]
    return _withhold(value, values) if isinstance(value, str) else value


def _known_values() -> list[str]:
    """Secrets known by value, the longest first: one may be the beginning of another."""
    held = {held for name, held in os.environ.items() if len(held) >= _SHORTEST and is_secret_name(name)}
    return sorted(_remembered | held, key=len, reverse=True)
