"""`vars`, `.dev.vars` and `.env` files, `--var`: who beats whom, as seen with wrangler 4.86."""

import pytest
from config_project import BODY_LINE, Project

from wrangler_py.config import dotenv


def test_vars_may_be_any_json_value(project: Project):
    value = {"S": "x", "N": 1.5, "B": True, "O": {"a": [1, None]}, "L": []}
    project.json({"vars": value})
    assert project.worker().vars == value


@pytest.mark.parametrize(
    ("body", "text", "line"),
    [
        ("vars = 5\n", 'The field "vars" should be an object but got 5.', BODY_LINE),
        ("vars = ['x']\n", 'The field "vars" should be an object but got ["x"].', BODY_LINE),
        (
            "[vars]\nDAY = 2026-01-01\n",
            'The field "vars.DAY" is a TOML date, which is not supported. '
            'Please use a string instead, e.g. DAY = "2025-12-19".',
            BODY_LINE + 1,
        ),
    ],
)
def test_wrong_vars(project: Project, body: str, text: str, line: int):
    project.toml(body)
    problem = project.only()
    assert (problem.severity, problem.text, problem.line) == ("error", text, line)


def test_a_name_that_code_cannot_write_is_a_warning(project: Project):
    project.toml("[vars]\nMY-VAR = 'x'\n")
    assert "env.MY-VAR" in project.only().text


def test_vars_then_dev_vars_then_the_command_line(project: Project):
    project.toml("[vars]\nA = 'vars'\nB = 'vars'\nC = 'vars'\n")
    project.write(".dev.vars", "B=file\nC=file\nD=file\n")
    worker = project.worker(var_overrides={"C": "cli", "E": "cli"})
    assert worker.vars == {"A": "vars"}
    assert worker.secrets == {"B": "file", "C": "cli", "D": "file", "E": "cli"}
    assert worker.files == (project.root / "wrangler.toml", project.root / ".dev.vars")


def test_the_command_line_reaches_the_first_worker_only(project: Project):
    for name in ("a", "b"):
        project.write(f"{name}/x.js", "")
        project.write(
            f"{name}/wrangler.toml",
            f'name = "{name}"\nmain = "x.js"\ncompatibility_date = "2026-01-01"\n[vars]\nA = "vars"\n',
        )
        project.write(f"{name}/.dev.vars", f"B={name}\n")
    first, second = project.load("a/wrangler.toml", "b/wrangler.toml", var_overrides={"A": "cli"}).workers
    assert (first.vars, first.secrets) == ({}, {"A": "cli", "B": "a"})
    assert (second.vars, second.secrets) == ({"A": "vars"}, {"B": "b"})


# (files beside the config, --env, what the secrets are)
FILES = [
    ({".dev.vars": "A=1\nB=1"}, None, {"A": "1", "B": "1"}),
    ({".dev.vars": "A=1\nB=1", ".dev.vars.dev": "A=2"}, None, {"A": "1", "B": "1"}),
    # The environment's file stands alone: nothing comes from .dev.vars.
    ({".dev.vars": "A=1\nB=1", ".dev.vars.dev": "A=2"}, "dev", {"A": "2"}),
    ({".dev.vars": "A=1"}, "dev", {"A": "1"}),
    # .env files only count without any .dev.vars, and lie on top of each other.
    ({".dev.vars": "A=1", ".env": "A=2\nC=2"}, None, {"A": "1"}),
    ({".dev.vars": "", ".env": "A=2"}, None, {}),
    ({".env": "A=1\nB=1", ".env.local": "B=2"}, None, {"A": "1", "B": "2"}),
    ({".env": "A=1\nB=1\nC=1\nD=1", ".env.local": "B=2\nC=2\nD=2", ".env.dev": "C=3\nD=3", ".env.dev.local": "D=4"}, "dev",
     {"A": "1", "B": "2", "C": "3", "D": "4"}),
    ({".env": "A=1", ".env.dev": "A=2"}, None, {"A": "1"}),
    # References are filled in in .env files, not in .dev.vars.
    ({".env": "A=1\nB=$A-${A}-${X:-none}"}, None, {"A": "1", "B": "1-1-none"}),
    ({".dev.vars": "A=1\nB=$A"}, None, {"A": "1", "B": "$A"}),
]  # fmt: skip


@pytest.mark.parametrize(("files", "env", "secrets"), FILES)
def test_which_files_count(project: Project, files: dict[str, str], env: str | None, secrets: dict[str, str]):
    project.toml("[env.dev]\n")
    for name, content in files.items():
        project.write(name, content)
    assert project.worker(env=env).secrets == secrets


def test_env_files_can_be_left_alone_and_the_processs_environment_taken_in(project: Project):
    project.toml()
    project.write(".env", "A=1\nB=$HOME_")
    off = project.worker(environ={"CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV": "false"})
    assert off.secrets == {}
    environ = {"CLOUDFLARE_INCLUDE_PROCESS_ENV": "true", "HOME_": "h", "A": "outer"}
    assert project.worker(environ=environ).secrets == {**environ, "B": "h"}
    problem = project.only(environ={"CLOUDFLARE_INCLUDE_PROCESS_ENV": "yes"})
    assert problem.text == 'Expected CLOUDFLARE_INCLUDE_PROCESS_ENV to be "true" or "false", but got "yes"'


def test_without_a_config_the_files_of_the_current_folder_count(project: Project):
    from pathlib import Path

    project.write(".dev.vars", "A=1")
    [worker] = project.load(script=Path("src/entry.py"), var_overrides={"B": "2"}).workers
    assert worker.secrets == {"A": "1", "B": "2"}


def test_required_secrets(project: Project):
    project.toml('[secrets]\nrequired = ["A", "B"]\n')
    project.write(".dev.vars", "A=1\nC=1\n")
    session = project.load()
    assert session.workers[0].secrets == {"A": "1"}
    [warning] = session.warnings
    assert warning.text == (
        "Missing required secrets: B. Add them to .dev.vars, .env, or set as environment variables."
    )
    assert warning.line == BODY_LINE
    (project.root / ".dev.vars").unlink()
    assert project.load(environ={"A": "a", "B": "b", "C": "c"}).workers[0].secrets == {"A": "a", "B": "b"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("secrets = 5\n", 'The field "secrets" should be an object but got 5.'),
        ('[secrets]\nrequired = "A"\n', 'Expected "secrets.required" to be an array of strings but got "A"'),
        ("[secrets]\nrequired = [1]\n", 'Expected "secrets.required.[0]" to be of type string but got 1.'),
    ],
)
def test_wrong_secrets(project: Project, body: str, text: str):
    project.toml(body)
    assert project.errors() == [text]


def test_a_secret_does_not_take_the_place_of_a_binding(project: Project):
    project.toml('[[queues.producers]]\nbinding = "Q"\nqueue = "q"\n')
    path = project.write(".dev.vars", "A=1\nQ=secret\n")
    session = project.load()
    [warning] = session.warnings
    assert (warning.file, warning.line) == (path, 2)
    assert session.workers[0].secrets == {"A": "1"}
    assert [p.binding for p in session.workers[0].producers] == ["Q"]


def test_the_command_line_does_take_the_place_of_a_binding(project: Project):
    project.toml('[[queues.producers]]\nbinding = "Q"\nqueue = "q"\n')
    session = project.load(var_overrides={"Q": "x"})
    assert len(session.warnings) == 1
    assert session.workers[0].secrets == {"Q": "x"}
    assert session.workers[0].producers == ()


def test_lines_that_mean_nothing_are_reported(project: Project):
    project.toml()
    path = project.write(".dev.vars", "# fine\n\nA=1\nwhat is this\nB='x\ny'\nC D\n=E\nE=2\n")
    session = project.load()
    assert [(w.file, w.line) for w in session.warnings] == [(path, 4), (path, 7), (path, 8)]
    assert session.workers[0].secrets == {"A": "1", "B": "x\ny", "E": "2"}


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"A=\xff", "not valid UTF-8"), (b"A=" + b"x" * 2_000_000, "wpy reads at most"), (None, "is a directory")],
)
def test_a_dev_vars_that_cannot_be_read(project: Project, content: bytes | None, words: str):
    project.toml()
    if content is None:
        (project.root / ".dev.vars").mkdir()
    else:
        project.write(".dev.vars", content)
    problem = project.only()
    assert problem.severity == "error"
    assert words in problem.text
    assert problem.file == project.root / ".dev.vars"


# Each value was computed with dotenv 16.3.1, as bundled in wrangler 4.86.
DOTENV = [
    ("A=1", {"A": "1"}),
    ("A = 1 # comment", {"A": "1"}),
    ("export A='x y'", {"A": "x y"}),
    ("A=b#c", {"A": "b"}),
    ('A="b#c" # d', {"A": "b#c"}),
    ("A='#'", {"A": "#"}),
    ('A="l1\nl2"\nB=2', {"A": "l1\nl2", "B": "2"}),
    ("A=`x'y\"`", {"A": "x'y\""}),
    ("A: 1", {"A": "1"}),
    ("A:1", {}),
    ('A="a\\nb\\tc"', {"A": "a\nb\\tc"}),
    ("A='a\\nb'", {"A": "a\\nb"}),
    ("A='it\\'s'", {"A": "it\\'s"}),
    ("A=\nB=2", {"A": "", "B": "2"}),
    ("A=1\r\nB=2\rC=3", {"A": "1", "B": "2", "C": "3"}),
    ('A="unclosed\nB=2', {"A": '"unclosed', "B": "2"}),
    ("A==b=c", {"A": "=b=c"}),
    ("A.b-c=1", {"A.b-c": "1"}),
    ("A=1\nA=2", {"A": "2"}),
    ("#A=1", {}),
    ("A=a b c", {"A": "a b c"}),
    ("A=1;B=2", {"A": "1;B=2"}),
]


@pytest.mark.parametrize(("text", "values"), DOTENV)
def test_dotenv_as_wrangler_parses_it(text: str, values: dict[str, str]):
    assert dotenv.parse(text).values == values


# Each value was computed with dotenv-expand 12.0.2, as bundled in wrangler 4.86.
EXPAND = [
    ({"B": "2", "A": "$B"}, {}, {"B": "2", "A": "2"}),
    ({"A": "$B", "B": "2"}, {}, {"A": "", "B": "2"}),
    ({"A": "${X:-d}"}, {}, {"A": "d"}),
    ({"B": "2", "A": "${B:+y}${X:+n}"}, {}, {"B": "2", "A": "y"}),
    ({"A": "\\$B"}, {}, {"A": "$B"}),
    ({"A": "\\$x", "B": "$A"}, {}, {"A": "$x", "B": "$x"}),
    ({"A": "$A"}, {}, {"A": ""}),
    ({"B": "x", "A": "${B}${C:-${B}}"}, {}, {"B": "x", "A": "xx"}),
    ({"A": "1", "B": "$A"}, {"A": "2"}, {"A": "2", "B": "2"}),
]


@pytest.mark.parametrize(("values", "environ", "expanded"), EXPAND)
def test_references_as_wrangler_fills_them_in(
    values: dict[str, str], environ: dict[str, str], expanded: dict[str, str]
):
    assert dotenv.expand(values, environ) == expanded


def test_references_that_run_in_a_circle_end():
    assert dotenv.expand({"X": "$A"}, {"A": "$B", "B": "$A x"})["X"]


def test_a_required_secret_needs_a_name_of_its_own(project: Project):
    project.toml('[vars]\nA = "1"\n[secrets]\nrequired = ["A"]\n')
    project.write(".dev.vars", "A=1")
    [text] = project.errors()
    assert text.startswith("A assigned to Environment Variable and Secret bindings.")
