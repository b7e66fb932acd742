"""`--env`: what a named environment takes over from the top level, and what wrangler 4.86 says when it does not."""

import pytest
from config_project import HEAD, Project

from wrangler_py.config.model import Producer


def test_the_name_gets_the_environments_behind_it(project: Project):
    project.toml("[env.dev]\n")
    worker = project.worker(env="dev")
    assert (worker.name, worker.environment) == ("app-dev", "dev")
    assert project.worker().name == "app"
    assert project.worker(env="").name == "app"


def test_an_environments_own_name_is_used_as_it_is(project: Project):
    project.toml('[env.dev]\nname = "other"\n')
    assert project.worker(env="dev").name == "other"


def test_what_is_inherited(project: Project):
    project.toml('[triggers]\ncrons = ["* * * * *"]\n[env.dev]\n')
    worker = project.worker(env="dev")
    assert worker.crons == ("* * * * *",)
    assert worker.main == project.root / "src/entry.py"
    assert worker.compatibility_date == "2026-01-01"
    assert worker.compatibility_flags == ("python_workers",)


def test_what_is_inherited_can_be_replaced(project: Project):
    project.write("dev.js", "")
    project.toml(
        '[triggers]\ncrons = ["* * * * *"]\n'
        '[env.dev]\nmain = "dev.js"\ncompatibility_date = "2025-01-01"\ncompatibility_flags = ["x"]\n'
        "triggers = { crons = [] }\n"
    )
    worker = project.worker(env="dev")
    assert worker.crons == ()
    assert worker.main == project.root / "dev.js"
    assert worker.compatibility_date == "2025-01-01"
    assert worker.compatibility_flags == ("x",)


def not_inherited(key: str) -> str:
    return (
        f'"{key}" exists at the top level, but not on "env.dev".\n'
        f'This is not what you probably want, since "{key}" is not inherited by environments.\n'
        f'Please add "{key}" to "env.dev".'
    )


def test_vars_and_queues_are_not_inherited(project: Project):
    project.toml('[vars]\nA = "1"\n[[queues.producers]]\nbinding = "Q"\nqueue = "q"\n[env.dev]\n')
    session = project.load(env="dev")
    assert [w.text for w in session.warnings] == [not_inherited("vars"), not_inherited("queues")]
    assert {(w.line, w.environment) for w in session.warnings} == {(10, "dev")}
    [worker] = session.workers
    assert (worker.vars, worker.producers) == ({}, ())


@pytest.mark.parametrize(
    "body",
    [
        "[define]\nA = 'x'\n",
        "[[kv_namespaces]]\nbinding = 'K'\n",
        "[durable_objects]\nbindings = [{name = 'D', class_name = 'D'}]\n",
        "[ai]\nbinding = 'AI'\n",
        "[[services]]\nbinding = 'S'\n",
        "[secrets]\nrequired = []\n",
        "[[tail_consumers]]\nservice = 'x'\n",
    ],
)
def test_bindings_of_other_kinds_are_not_inherited(project: Project, body: str):
    project.toml(body + "[env.dev]\n")
    key = body.strip("[").split("]")[0]
    assert project.warnings(env="dev") == [not_inherited(key)]


def test_assets_and_logfwdr_are_inherited(project: Project):
    project.toml('[assets]\ndirectory = "x"\nbinding = "A"\n[env.dev]\n')
    session = project.load(env="dev")
    assets = session.workers[0].assets
    assert assets is not None and assets.binding == "A"


def test_an_environments_own_vars_and_queues(project: Project):
    project.toml(
        '[vars]\nA = "1"\n[[queues.producers]]\nbinding = "Q"\nqueue = "q"\n'
        '[env.dev.vars]\nA = "2"\n[[env.dev.queues.producers]]\nbinding = "Q"\nqueue = "q-dev"\n'
    )
    worker = project.worker(env="dev")
    assert worker.vars == {"A": "2"}
    assert worker.producers == (Producer("Q", "q-dev"),)
    assert project.worker().producers == (Producer("Q", "q"),)


def test_single_vars_and_bindings_that_an_environment_lacks(project: Project):
    project.toml(
        '[[kv_namespaces]]\nbinding = "K"\n[[kv_namespaces]]\nbinding = "L"\n[vars]\nA = "1"\nB = "2"\n'
        '[env.dev.vars]\nA = "2"\n[[env.dev.kv_namespaces]]\nbinding = "K"\n'
    )
    assert [w for w in project.warnings(env="dev") if "wpy" not in w] == [
        '"vars.B" exists at the top level, but not on "env.dev.vars".\n'
        'This is not what you probably want, since "vars" configuration is not inherited by environments.\n'
        'Please add "vars.B" to "env.dev".',
        'There is a kv_namespaces binding with name "L" at the top level, but not on "env.dev".\n'
        'This is not what you probably want, since "kv_namespaces" configuration is not inherited by environments.\n'
        'Please add a binding for "L" to "env.dev.kv_namespaces.bindings".',
    ]


def test_an_unknown_environment_is_an_error_that_names_those_there_are(project: Project):
    project.toml("[env.staging]\n[env.production]\n")
    problem = project.only(env="stagin")
    assert problem.severity == "error"
    assert problem.text == (
        'No environment found in configuration with name "stagin".\n'
        "Before using `--env=stagin` there should be an equivalent environment section in the configuration.\n"
        'The available configured environment names are: ["staging","production"]\n'
        "\n"
        "Consider adding an environment configuration section to the wrangler.toml file:\n"
        "```\n[env.stagin]\n```"
    )
    assert problem.hint == 'did you mean "staging"?'


def test_without_any_environment_the_top_level_is_used_under_the_new_name(project: Project):
    project.toml('[vars]\nA = "1"\n')
    session = project.load(env="dev")
    [warning] = session.warnings
    assert warning.text.startswith('No environment found in configuration with name "dev".')
    [worker] = session.workers
    assert (worker.name, worker.vars) == ("app-dev", {"A": "1"})


def test_the_environment_variable_cloudflare_env(project: Project):
    project.toml("[env.dev]\n[env.prod]\n")
    environ = {"CLOUDFLARE_ENV": "dev"}
    assert project.load(environ=environ).workers[0].name == "app-dev"
    assert project.load(environ=environ, env="prod").workers[0].name == "app-prod"


def test_the_environment_goes_for_every_worker(project: Project):
    for name in ("a", "b"):
        project.write(f"{name}/x.js", "")
        project.write(
            f"{name}/wrangler.toml",
            f'name = "{name}"\nmain = "x.js"\ncompatibility_date = "2026-01-01"\n[env.dev]\n',
        )
    session = project.load("a/wrangler.toml", "b/wrangler.toml", env="dev")
    assert [w.name for w in session.workers] == ["a-dev", "b-dev"]


def test_errors_of_an_environment_carry_its_prefix(project: Project):
    project.toml(
        '[env.dev]\n[[env.dev.queues.producers]]\n[[env.dev.queues.consumers]]\nqueue = "q"\nmax_retries = 101\n'
        "[env.dev.vars]\nA = 2026-01-01\n"
    )
    problems = project.problems(env="dev")
    assert [(p.text, p.field, p.line, p.environment) for p in problems] == [
        (
            '"env.dev.queues.producers[0]" bindings should have a string "binding" field but got {}.',
            "env.dev.queues.producers[0]",
            6,
            "dev",
        ),
        (
            '"env.dev.queues.consumers[0].max_retries" must be a whole number from 0 to 100, but is 101.',
            "env.dev.queues.consumers[0].max_retries",
            9,
            "dev",
        ),
        (
            'The field "env.dev.vars.A" is a TOML date, which is not supported. '
            'Please use a string instead, e.g. A = "2025-12-19".',
            "env.dev.vars.A",
            11,
            "dev",
        ),
    ]


def test_an_environment_that_is_not_asked_for_is_not_looked_at(project: Project):
    project.toml("[env.dev]\nname = 5\n[env.dev.queues]\nconsumers = 7\n")
    assert project.worker().name == "app"


def test_the_top_levels_shape_is_checked_for_every_environment_but_its_ranges_are_not(project: Project):
    project.toml('[[queues.consumers]]\nqueue = "q"\nmax_retries = 500\n[env.dev]\n[env.dev.queues]\n')
    assert project.worker(env="dev").consumers == ()
    project.toml('[[queues.consumers]]\nqueue = "q"\nmax_retries = "5"\n[env.dev]\n[env.dev.queues]\n')
    assert len(project.errors(env="dev")) == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("env = 5\n", 'The field "env" should be an object but got 5.'),
        ("env = { dev = [] }\n", 'The field "env.dev" should be an object but got [].'),
    ],
)
def test_env_of_a_wrong_type(project: Project, body: str, text: str):
    project.toml(body)
    assert project.errors(env="dev") == [text]


def test_fields_that_an_environment_cannot_have(project: Project):
    project.toml("[env.dev]\nkeep_vars = true\nnam = 1\n[env.dev.dev]\nport = 1\n")
    problems = project.problems(env="dev")
    assert [p.text for p in problems] == [
        'Unexpected fields found in env.dev field: "keep_vars"',
        'Unexpected fields found in env.dev field: "nam"',
        'Unexpected fields found in env.dev field: "dev"',
    ]
    assert "top level" in problems[0].hint
    assert problems[1].hint == 'did you mean "name"?'


def test_service_environments(project: Project):
    project.write("wrangler.toml", "legacy_env = false\n" + HEAD + '[env.dev]\nname = "x"\n')
    assert project.errors(env="dev") == [
        'The "name" field is not allowed in named service environments.\nPlease remove the field from this environment.'
    ]
    project.write("wrangler.toml", "legacy_env = false\n" + HEAD + "[env.dev]\n")
    session = project.load(env="dev")
    assert session.workers[0].name == "app"
    assert "Service environments are deprecated" in session.warnings[0].text
