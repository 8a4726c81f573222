"""Names and messages use the field's words: the table in CONTRIBUTING.md, held.

Looked at are the program and what helps the tests. ``said`` or ``wanted`` can be ordinary words of
a comment, so that only names and messages are held to those; the words of ``NEVER`` stand nowhere.
"""

import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

NEVER = re.compile(
    r"\b(judg(e|es|ed|ing|ement|ements|ments?)|yardsticks?|doubts?)\b",
    re.IGNORECASE,
)
NAME_WORDS = {
    *("said", "told", "answer", "answers", "chance", "chances"),
    *("judge", "judges", "judged", "judging", "judgement", "judgements", "doubt", "doubts"),
    *("units", "draws", "hit", "hits", "wanted", "yardstick", "keeper", "gauge", "viewer"),
}
NAMES = {"begin", "end_soon", "unless_left", "MOST", "FEW", "LATER", "ROUNDED"}
MESSAGE_WORDS = re.compile(
    r"\b(said|told|answers|chances|hits|wanted|bootstrap draws)\b|were not taken", re.IGNORECASE
)

# Keys of artifacts and of the configuration, which users' scripts have: they stay as they are.
KEYS = re.compile(r"\bjudge_on\b|wildcards\.judged\b|\bjudged=|[{<\"'`]judged[}>\"'`]")
KEY_NAMES = {"judged", "judge_on"}

PROGRAM = ("pipeline", "workflow", "bench", "Snakefile")
DOCUMENTS = ("README.md", "CITATION.cff", "config.yaml", "docs", "envs", "profiles")
STRINGS = {"STRING", "FSTRING_MIDDLE"}  # the latter from Python 3.12 on
TEXT = {".py", ".smk", ".md", ".rst", ".yaml", ".cff", ".html", ""}


def files(*places: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *places],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def code() -> list[Path]:
    """The program, in Python and in Snakemake's language, and the helpers of the tests."""
    helpers = [path for path in files("tests") if not path.name.startswith("test_")]
    found = [*files(*PROGRAM), *helpers]
    return [path for path in found if path.suffix in {".py", ".smk"} or path.name == "Snakefile"]


def names_and_messages(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, kind (name, message) and text of each name and each string with a space in it.

    A string that begins a statement is a docstring.
    """
    begins = True
    with path.open("rb") as stream:
        for token in tokenize.tokenize(stream.readline):
            if token.type == tokenize.NAME:
                yield token.start[0], "name", token.string
            elif tokenize.tok_name[token.type] in STRINGS and " " in token.string and not begins:
                yield token.start[0], "message", re.sub(r"\{[^{}]*\}", "", bare(token.string))
            if token.type not in {tokenize.COMMENT, tokenize.NL}:
                begins = token.type in {
                    *(tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
                }


def bare(token: str) -> str:
    """A string's text without prefix and quotes, which the parts of a 3.12 f-string do not have."""
    return re.sub(r"^\w*(\'{3}|\"{3}|[\'\"])(.*)\1$", r"\2", token, flags=re.DOTALL)


def words(name: str) -> set[str]:
    """``JudgedFaces`` and ``judged_faces`` as judged, faces."""
    return {word.lower() for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+", name)}


def unwelcome(kind: str, text: str) -> bool:
    if kind == "message":
        return bool(MESSAGE_WORDS.search(text))
    return text in NAMES or (text not in KEY_NAMES and bool(words(text) & NAME_WORDS))


def test_names_and_messages_use_the_words_of_the_field():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in code()
        for line, kind, text in names_and_messages(path)
        if unwelcome(kind, text)
    ]
    assert not found, "\n".join(found)


def test_some_words_stand_nowhere():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*code(), *files(*PROGRAM, *DOCUMENTS)]
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if NEVER.search(KEYS.sub("", line))
    ]
    assert not found, "\n".join(dict.fromkeys(found))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class JudgedFaces: pass", ["JudgedFaces"]),
        ("def f(wanted): return wanted", ["wanted", "wanted"]),
        ("import x as hits", ["hits"]),
        ("MOST = 1", ["MOST"]),
        ("if a:\n    raise E('the file was not told of')", ["the file was not told of"]),
        ("f(f'{x} is not what was wanted')", [" is not what was wanted"]),
        ("'''What the user told.'''\nkey = 'told'  # as told", []),
        ("wildcards.judged, judge_on, draw, drawn, united = 'on-{judged} of the run'", []),
    ],
)
def test_the_check_finds_what_it_should_and_nothing_else(tmp_path, source, expected):
    file = tmp_path / "x.py"
    file.write_text(source + "\n")
    found = [text for _, kind, text in names_and_messages(file) if unwelcome(kind, text)]
    assert found == expected
