"""Text of users made fit for a published Markdown file: escaped, and without the folders of a machine."""

import re
import shlex

from closedbook.data.secrets import withhold, withhold_words


def cell(value) -> str:
    """A value as plain text inside Markdown, in one line; numbers with commas, or to four digits."""
    if isinstance(value, int | float):
        value = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
    return re.sub(r"([\\`*_\[\]<>|~$&#])", r"\\\1", " ".join(str(value).split()))


def fenced(text: str, language: str) -> str:
    """A block of code, whatever it holds: the fence is longer than any run of backticks inside."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def public(value, hub_names: set[str]):
    """An argument without secrets and the folders of the machine, or inside a list; names on the Hub stay whole.

    Recipes and scripts of this package keep their place in it, which is the same for everybody.
    """
    if isinstance(value, list):
        return [public(item, hub_names) for item in value]
    if isinstance(value, dict):
        return {name: public(item, hub_names) for name, item in value.items()}
    if not isinstance(value, str):
        return value
    value = withhold(value)
    if value in hub_names or value.startswith("{"):
        return value
    ours = re.search(r"(?:^|[/\\])(scripts[/\\](?:recipes[/\\]|launch[/\\])?[\w.-]+)$", value)
    return ours[1] if ours else re.split(r"[/\\]", value.rstrip("/\\"))[-1]


def public_command(command: str, hub_names: set[str]) -> str:
    """A command line with `public` arguments and without secrets, one flag a line."""
    lines, before = [[]], ""
    for word in withhold_words(shlex.split(command)):
        flag, equals, value = word.partition("=") if word.startswith("-") else (before, "", word)
        if value:
            value = public(value, hub_names)
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(flag + equals + value if word.startswith("-") else value)
        before = word
    return " \\\n    ".join(shlex.join(line) for line in lines)
