# SPDX-License-Identifier: MIT
"""README.md as a list of marked blocks, for the test that runs it.

Before each shell and YAML block stands an HTML comment, `<!-- what -->` or `<!-- what: more -->`: `run`, `run: agents`
(while the three agents run), `set` (values that the test has its own for), `check-config`, or `not run` with the reason.
"""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
KINDS = ("run", "set", "check-config", "not run")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- ([a-z -]+?)(?:: ([^>]+?))? -->\n\Z")


class Block:
    def __init__(self, language, text, kind, more, line):
        self.language, self.text, self.kind, self.more, self.line = language, text, kind, more, line

    def __str__(self):
        return f"README.md:{self.line}"


def blocks():
    """Every shell and YAML block in order; ValueError for one whose mark is missing or unknown."""
    text = README.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        language = match.group(1)
        if not language:
            continue  # a picture
        line = text.count("\n", 0, match.start()) + 1
        mark = MARK.search(text[:match.start()])
        if language not in ("sh", "yaml") or not mark or mark.group(1) not in KINDS:
            raise ValueError(f"README.md:{line}: a block of {language!r} without a mark that says how it is tested")
        if mark.group(1) in ("not run", "set") and not mark.group(2):
            raise ValueError(f"README.md:{line}: '{mark.group(1)}' needs a reason")
        found.append(Block(language, match.group(2), mark.group(1), mark.group(2) or "", line))
    return found


def of_kind(kind, more=None):
    return [block for block in blocks() if block.kind == kind and more in (None, block.more)]


def command_lines():
    """Every `baton COMMAND …` of the page, in blocks and in the text, as (line number, words)."""
    text = README.read_text(encoding="utf-8")
    joined = text.replace("\\\n", "  ")
    found = []
    in_block = False
    for number, line in enumerate(joined.splitlines(), 1):
        if line.startswith("```"):
            in_block = line != "```"
            continue
        codes = [line.split(" #", 1)[0]] if in_block else re.findall(r"`([^`]+)`", line)
        for code in codes:
            for match in re.finditer(r"(?:^|[\s(])baton((?: +[^\s|>&;()<]+)+)", code):
                found.append((number, match.group(1).split()))
    return found
