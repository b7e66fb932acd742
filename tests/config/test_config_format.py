"""How problems are printed: grouped as wrangler does it, each with its place and what to do next."""

from pathlib import Path

from config_project import Project

from wrangler_py.config import Problem, format_problems


def test_grouped_by_severity_file_and_environment(project: Project):
    project.toml(
        "max_foo = 1\n[vars]\nA = 1\n[[queues.consumers]]\nqueue = 'q'\nmax_retrys = 1\nmax_batch_size = 500\n"
        "[env.dev]\n[[env.dev.queues.consumers]]\nqueue = 5\n"
    )
    project.write("src/entry.py", "")
    text = format_problems(project.problems(env="dev"), color=False, cwd=project.root)
    assert text == (
        "▲ [WARNING] Processing wrangler.toml configuration:\n"
        "\n"
        '  - Unexpected fields found in top-level field: "max_foo"\n'
        "    at wrangler.toml:5  max_foo\n"
        '  - Unexpected fields found in queues.consumers[0] field: "max_retrys"\n'
        "    at wrangler.toml:10  queues.consumers[0].max_retrys\n"
        '    hint: did you mean "max_retries"?\n'
        '  - "env.dev" environment configuration\n'
        '    - "vars" exists at the top level, but not on "env.dev".\n'
        '      This is not what you probably want, since "vars" is not inherited by environments.\n'
        '      Please add "vars" to "env.dev".\n'
        "      at wrangler.toml:12  env.dev\n"
        "\n"
        "✘ [ERROR] Processing wrangler.toml configuration:\n"
        "\n"
        '  - "env.dev" environment configuration\n'
        '    - "env.dev.queues.consumers[0]" should have a string "queue" field but got {"queue":5}.\n'
        "      at wrangler.toml:13  env.dev.queues.consumers[0]\n"
        '      hint: for example queue = "my-queue"'
    )


def test_the_file_is_shown_as_seen_from_the_current_folder(project: Project):
    project.toml("foo = 1\n")
    (project.root / "sub").mkdir()
    text = format_problems(project.problems(), color=False, cwd=project.root / "sub")
    assert "Processing ../wrangler.toml configuration:" in text
    assert "at ../wrangler.toml:5  foo" in text


def test_an_excerpt_stands_under_its_message(project: Project):
    project.write("wrangler.toml", 'name = "x"\nmain = \n')
    assert format_problems(project.problems(), color=False, cwd=project.root) == (
        "✘ [ERROR] Processing wrangler.toml configuration:\n"
        "\n"
        "  - Invalid TOML document: invalid value\n"
        "    at wrangler.toml:2\n"
        "      2 | main = \n"
        "        |        ^\n"
        '    hint: texts stand in quotes: main = "src/entry.py"; true, false and numbers do not'
    )


def test_a_problem_of_no_file():
    problem = Problem("error", "No config.", hint="write one:\n  main = 1")
    assert format_problems([problem], color=False) == "✘ [ERROR] No config.\n  hint: write one:\n          main = 1"


def test_nothing_to_say():
    assert format_problems([], color=False) == ""


def test_colour_only_when_asked_for(project: Project):
    project.toml("foo = 1\n[[queues.consumers]]\nqueue = 'q'\nmax_retries = 101\n")
    problems = project.problems()
    plain, coloured = (format_problems(problems, color=c, cwd=project.root) for c in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[31m✘ [ERROR]\x1b[0m" in coloured
    assert "\x1b[33m▲ [WARNING]\x1b[0m" in coloured


def test_a_config_cannot_send_commands_to_the_terminal(project: Project):
    project.write(
        "wrangler.json",
        '{"name": "\\ud800\\u001b[2J", "main": "src/entry.py", "\\u001b]0;x": 1, "compatibility_date": "2026-01-01"}',
    )
    text = format_problems(project.problems(), color=False, cwd=project.root)
    assert "\x1b" not in text
    assert "\\ud800" in text
    text.encode()


def test_the_error_of_a_session_says_what_is_wrong(project: Project):
    import pytest

    from wrangler_py.config import ConfigError

    project.toml("[[queues.consumers]]\nqueue = 'q'\nmax_retries = 101\n")
    with pytest.raises(ConfigError, match=r"max_retries.* must be a whole number from 0 to 100, but is 101"):
        project.load()


def test_problems_are_read_from_a_package_that_loads_lazily():
    import subprocess
    import sys

    code = "import sys, wrangler_py.config; sys.exit('tomllib' in sys.modules or 'difflib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False).returncode == 0
