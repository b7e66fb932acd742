"""Files that are no config: each gets one clear message and nothing else happens."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from config_project import HEAD, Project

DEEP = 100_000

#: (file name, content, words of the message, line)
BROKEN = [
    ("wrangler.toml", b"", "wrangler.toml is empty", None),
    ("wrangler.toml", b"# only a comment\n\n", "wrangler.toml is empty", None),
    ("wrangler.json", b"", "wrangler.json is empty", None),
    ("wrangler.jsonc", b" \n", "wrangler.jsonc is empty", None),
    ("wrangler.jsonc", b"{}", "wrangler.jsonc is empty", None),
    ("wrangler.toml", b'name = "x"\nmain = \n', "Invalid TOML document: invalid value", 2),
    ("wrangler.toml", b'name = "x\n[queues\n', "Invalid TOML document: illegal character", 1),
    ("wrangler.toml", b'name = "x"\n[queues\n', "Invalid TOML document: expected ']'", 2),
    ("wrangler.toml", b'name = "x"\r\nmain = ', "Invalid TOML document: invalid value", 2),
    ("wrangler.toml", b'a = """x\n\n', "Invalid TOML document: unterminated string", 1),
    ("wrangler.toml", b'name = "x"\nname = "y"\n', "Invalid TOML document: cannot overwrite a value", 2),
    ("wrangler.toml", b"[a.b]\n[a.b]\n", 'Invalid TOML document: cannot declare "a.b" twice', 2),
    ("wrangler.toml", b"\x00", "Invalid TOML document", 1),
    ("wrangler.toml", b"a" + b".a" * DEEP + b" = 1", "nested more than", 1),
    ("wrangler.toml", b"a = " + b"[" * DEEP, "nested more than", None),
    ("wrangler.toml", b"a = " + b"[" * 80 + b"]" * 80, "nested more than", None),
    ("wrangler.toml", b"\n[vars]\nA = 9007199254740993\n", "integer value cannot be represented losslessly", 3),
    ("wrangler.toml", b"\nA = " + b"9" * 5000, "integer value cannot be represented losslessly", 2),
    ("wrangler.toml", b'name = "x\xff"\n', "wrangler.toml is not valid UTF-8: byte 0xff at offset 9", 1),
    ("wrangler.json", b'{\n"name": "\xe9"}', "wrangler.json is not valid UTF-8: byte 0xe9 at offset 11", 2),
    ("wrangler.toml", 'name = "x"'.encode("utf-16"), "contains UTF-16 LE byte order marker", 1),
    ("wrangler.json", "{}".encode("utf-32"), "contains UTF-32 LE byte order marker", 1),
    ("wrangler.toml", b"x" * (10 * 1024 * 1024), "has 10,485,760 bytes; wpy reads at most 1,048,576", None),
    ("wrangler.json", b"[]", "The top level of wrangler.json should be an object but got an array", 1),
    ("wrangler.json", b"5", "The top level of wrangler.json should be an object but got 5", 1),
    ("wrangler.json", b'{"name": "x"', "Invalid JSON document: expecting ',' delimiter", 1),
    ("wrangler.json", b'{\n"name": "x"\n"main": "y"}', "Invalid JSON document: expecting ',' delimiter", 3),
    ("wrangler.json", b'{"name": "x"} {}', "Invalid JSON document: extra data", 1),
    ("wrangler.json", b'{"name": "x" /* y }', "Invalid JSON document: a comment that is opened here", 1),
    ("wrangler.json", b"[" * DEEP, "nested more than", None),
    ("wrangler.json", b'{"a": ' + b"[" * 80 + b"]" * 80 + b"}", "nested more than", None),
]


@pytest.mark.parametrize(("name", "content", "words", "line"), BROKEN, ids=[f"{n}-{w[:40]}" for n, _, w, _ in BROKEN])
def test_a_broken_file_gets_one_message(project: Project, name: str, content: bytes, words: str, line: int | None):
    path = project.write(name, content)
    problem = project.only()
    assert problem.severity == "error"
    assert words in problem.text
    assert (problem.file, problem.line) == (path, line)


# What JSON5 allows and wrangler (jsonc-parser) refuses.
NOT_JSONC = [
    "{'name': 'x'}",
    '{name: "x"}',
    '{"a": x}',
    '{"a": +1}',
    '{"a": .5}',
    '{"a": 0x10}',
    '{"a": 01}',
    '{"a": NaN}',
    '{"a": -Infinity}',
    '{"a": "x\ty"}',
    '{"a": "\\q"}',
    '{"a": [1,,]}',
    '{"a": [,]}',
    "{,}",
    '{"a": 1 # x\n}',
]


@pytest.mark.parametrize("text", NOT_JSONC)
def test_json5_is_not_jsonc(project: Project, text: str):
    project.write("wrangler.jsonc", text)
    problem = project.only()
    assert problem.text.startswith("Invalid JSON document: ")
    assert problem.excerpt is not None


def test_single_quotes_and_bare_keys_are_explained(project: Project):
    project.write("wrangler.jsonc", "{'name': 'x'}")
    assert "not JSON5" in project.only().hint
    project.write("wrangler.jsonc", '{name: "x"}')
    assert "double quotes" in project.only().hint


@pytest.mark.parametrize(
    ("name", "text", "excerpt"),
    [
        ("wrangler.toml", 'name = "x"\n  main = \n', "2 |   main = \n  |          ^"),
        ("wrangler.toml", 'name = "x"\n\tmain = !\n', "2 | \tmain = !\n  | \t       ^"),
        ("wrangler.json", '{\n  "a": tru\n}', '2 |   "a": tru\n  |        ^'),
        ("wrangler.jsonc", '{\r\n  "a": /* é */ tru\r\n}', '2 |   "a": /* é */ tru\n  |                ^'),
    ],
)
def test_the_excerpt_has_a_caret_under_the_place(project: Project, name: str, text: str, excerpt: str):
    project.write(name, text)
    assert project.only().excerpt == excerpt


def test_the_excerpt_of_a_very_long_line_is_cut_around_the_place(project: Project):
    project.write("wrangler.json", '{"a": "' + "x" * 5000 + '" "b": 1}')
    line, caret = project.only().excerpt.split("\n")
    assert len(line) < 120
    assert line[caret.index("^")] == '"'


def test_a_byte_order_mark_and_windows_line_ends_are_fine(project: Project):
    project.write("wrangler.toml", b"\xef\xbb\xbf" + (HEAD + "[vars]\nA = 'x'\n").replace("\n", "\r\n").encode())
    assert project.worker().vars == {"A": "x"}
    project.write("wrangler.json", b'\xef\xbb\xbf{\r\n// c\r\n"name": "x",\r\n"nme": 1}')
    unexpected = next(p for p in project.problems() if "nme" in p.text)
    assert unexpected.line == 4


def test_comments_and_trailing_commas(project: Project):
    project.write(
        "wrangler.jsonc",
        """// first
        {
          "name": "app", /* a "quoted" // comment
          over two lines */
          "main": "src/entry.py", // ,}
          "compatibility_date": "2026-01-01",
          "compatibility_flags": ["python_workers",],
          "vars": {"URL": "http://x//y", "STAR": "/* no */", "COMMA": ",]", "QUOTE": "\\"//",},
        }
        """,
    )
    worker = project.worker()
    assert worker.name == "app"
    assert worker.vars == {"URL": "http://x//y", "STAR": "/* no */", "COMMA": ",]", "QUOTE": '"//'}


def test_a_key_that_stands_twice_in_json_is_a_warning_and_the_last_counts(project: Project):
    project.write(
        "wrangler.json",
        '{\n"name": "a",\n"main": "src/entry.py",\n"name": "b",\n"compatibility_date": "2026-01-01",\n'
        '"compatibility_flags": ["python_workers"]}',
    )
    session = project.load()
    assert session.workers[0].name == "b"
    [warning] = session.warnings
    assert (warning.text, warning.line, warning.field) == (
        '"name" stands twice in one object (first on line 2); the last one counts.',
        4,
        "name",
    )


@pytest.mark.parametrize(
    ("path", "words", "hint"),
    [
        ("nope.toml", "Could not read file: nope.toml (no such file or directory)", "there is a wrangler.toml"),
        ("src/nope.toml", "Could not read file: nope.toml (no such file or directory)", "check the path"),
        ("folder.toml", "Could not read file: folder.toml (is a directory)", "not the folder"),
        ("loop.toml", "Could not read file: loop.toml (too many levels of symbolic links)", None),
        ("pipe.toml", "Could not read file: pipe.toml (it is not a regular file)", None),
        ("src/entry.py", 'A config file ends in .toml, .json or .jsonc, but got "entry.py".', "rename it"),
        ("nul\x00.toml", "Could not read file", None),
        ("x" * 300 + ".toml", "(file name too long)", None),
    ],
    ids=["missing", "missing elsewhere", "folder", "loop", "pipe", "suffix", "nul", "long"],
)
def test_a_path_that_is_no_readable_file(project: Project, path: str, words: str, hint: str | None):
    project.toml()
    (project.root / "folder.toml").mkdir()
    (project.root / "loop.toml").symlink_to("loop.toml")
    os.mkfifo(project.root / "pipe.toml")
    problem = project.only(path)
    assert problem.severity == "error"
    assert words in problem.text
    assert (hint or "") in (problem.hint or "")


def test_a_file_without_read_permission():
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        path = project.toml()
        path.chmod(0)
        project.root.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
        as_root = os.geteuid() == 0
        if as_root:
            os.seteuid(65534)  # root may read everything
        try:
            problem = project.only()
        finally:
            if as_root:
                os.seteuid(0)
    assert "Could not read file: wrangler.toml (permission denied)" in problem.text
    assert "chmod u+r" in problem.hint


def test_every_file_that_cannot_be_read_is_reported_at_once(project: Project):
    project.write("a.toml", "x = ")
    project.write("b.json", "{")
    project.toml("[[queues.consumers]]\n", name="c.toml")
    assert len(project.errors("a.toml", "b.json", "c.toml", "d.toml")) == 4
