"""name, main, compatibility, triggers, dev, and the fields that only get a word of warning."""

import datetime

import pytest
from config_project import BODY_LINE, HEAD, Project
from msgspec.structs import replace

from wrangler_py.config.binding_types import Bundling, Rule
from wrangler_py.config.model import DevSettings

REST = 'main = "src/entry.py"\ncompatibility_date = "2026-01-01"\ncompatibility_flags = ["python_workers"]\n'


@pytest.mark.parametrize("name", ["a", "my-worker_2", "_x", "0"])
def test_names(project: Project, name: str):
    project.write("wrangler.toml", f'name = "{name}"\n' + REST)
    assert project.worker().name == name


@pytest.mark.parametrize("head", ["", 'name = ""\n'])
def test_a_worker_without_a_name(project: Project, head: str):
    project.write("wrangler.toml", head + REST)
    assert project.worker().name == "worker"


@pytest.mark.parametrize(
    ("value", "shown"), [('"My Worker"', '"My Worker"'), ("5", "5"), ('"-a"', '"-a"'), ("[]", "[]")]
)
def test_wrong_names(project: Project, value: str, shown: str):
    project.write("wrangler.toml", f"name = {value}\n" + REST)
    assert project.only().text == (
        f'Expected "name" to be of type string, alphanumeric and lowercase with dashes only but got {shown}.'
    )


def test_a_name_that_almost_works_is_suggested(project: Project):
    project.write("wrangler.toml", 'name = "My Worker!"\n' + REST)
    assert project.only().hint == 'for example "my-worker"'


def test_two_workers_of_one_name(project: Project):
    project.toml(name="a/wrangler.toml")
    project.toml(name="b/wrangler.toml")
    for name in ("a", "b"):
        project.write(f"{name}/src/entry.py", "")
    problem = project.only("a/wrangler.toml", "b/wrangler.toml")
    assert problem.severity == "error"
    assert 'Two Workers have the name "app"' in problem.text
    assert (problem.file, problem.line) == (project.root / "b" / "wrangler.toml", 1)
    assert "a/wrangler.toml:1" in problem.hint


def test_two_workers_without_a_name(project: Project):
    for name in ("a", "b"):
        project.write(f"{name}/wrangler.toml", REST)
        project.write(f"{name}/src/entry.py", "")
    assert 'Two Workers have the name "worker"' in project.only("a/wrangler.toml", "b/wrangler.toml").text


def test_one_config_given_twice(project: Project):
    project.toml()
    assert project.errors("wrangler.toml", "./wrangler.toml") == ["The same config file is given twice."]


@pytest.mark.parametrize("name", ["a.py", "a.js", "a.mjs", "a.ts", "a.mts", "a.tsx", "a.jsx", "a.cjs", "a.cts"])
def test_entry_modules(project: Project, name: str):
    project.write(name, "")
    project.write("wrangler.toml", HEAD.replace("src/entry.py", name))
    worker = project.worker()
    assert worker.main == project.root / name
    assert worker.language == ("python" if name == "a.py" else "javascript")


def test_main_without_an_ending_is_completed(project: Project):
    project.write("src/index.ts", "")
    project.write("wrangler.toml", HEAD.replace("src/entry.py", "src/index"))
    assert project.worker().main == project.root / "src/index.ts"


def test_main_may_be_a_link(project: Project):
    (project.root / "link.py").symlink_to("src/entry.py")
    project.write("wrangler.toml", HEAD.replace("src/entry.py", "link.py"))
    assert project.worker().main == project.root / "link.py"


@pytest.mark.parametrize(
    ("main", "text", "hint"),
    [
        ('"src/entri.py"', 'The entry-point file at "src/entri.py" was not found.', 'did you mean "entry.py"?'),
        ('"src/zzzz.js"', 'The entry-point file at "src/zzzz.js" was not found.', "entry.py"),
        ('"scr/entry.py"', 'The entry-point file at "scr/entry.py" was not found.', 'no folder "scr"'),
        ('"src"', 'The provided entry-point path, "src", points to a directory, rather than a file.', "src/entry.py"),
        ('""', 'The provided entry-point path, ".", points to a directory, rather than a file.', "src/entry.py"),
        (
            '"wrangler.toml"',
            'The entry-point file "wrangler.toml" is neither Python nor JavaScript nor TypeScript.',
            ".py",
        ),
        ("5", 'Expected "main" to be of type string but got 5.', ""),
        ('"loop.py"', 'The entry-point file at "loop.py" was not found.', ""),
        ('"a\\u0000b.py"', "The entry-point file at", ""),
        (f'"{"x" * 300}.py"', "cannot be read: File name too long", ""),
    ],
)
def test_a_main_that_cannot_be_run(project: Project, main: str, text: str, hint: str):
    (project.root / "loop.py").symlink_to("loop.py")
    project.write("wrangler.toml", HEAD.replace('"src/entry.py"', main))
    problem = project.only()
    assert problem.severity == "error"
    assert text in problem.text
    assert hint in (problem.hint or "")
    assert (problem.line, problem.field) == (2, "main")


@pytest.mark.parametrize(
    ("name", "hint"), [("wrangler.toml", 'add main = "src/entry.py"'), ("wrangler.json", 'add "main": "src/entry.py"')]
)
def test_without_main(project: Project, name: str, hint: str):
    body = (
        '{"name": "x", "compatibility_date": "2026-01-01"}'
        if name.endswith("json")
        else 'name = "x"\ncompatibility_date = "2026-01-01"\n'
    )
    project.write(name, body)
    problem = project.only()
    assert (problem.severity, problem.hint) == ("error", hint)
    assert problem.text == "Missing entry-point to Worker script or to assets directory"


def test_the_entry_module_that_is_there_is_suggested(project: Project):
    (project.root / "src/entry.py").unlink()
    project.write("src/main.py", "")
    project.write("wrangler.toml", 'compatibility_date = "2026-01-01"\n')
    assert project.only().hint == 'add main = "src/main.py"'


def test_a_worker_of_assets_alone(project: Project):
    project.write("wrangler.toml", 'compatibility_date = "2026-01-01"\n[assets]\ndirectory = "x"\n')
    [text] = project.errors()
    assert "only static assets" in text


def test_pages(project: Project):
    project.write("wrangler.toml", 'pages_build_output_dir = "dist"\ncompatibility_date = "2026-01-01"\n')
    problem = project.only()
    assert problem.severity == "error"
    assert "Pages project" in problem.text
    assert "wrangler pages dev" in problem.hint
    project.write("wrangler.toml", HEAD + 'pages_build_output_dir = "dist"\n[[queues.consumers]]\nqueue = "q"\n')
    assert project.errors() == ['Configuration file for Pages projects does not support "queues.consumers"']
    assert len(project.warnings()) == 1


def test_workers_sites(project: Project):
    project.toml('[site]\nbucket = "x"\n')
    assert "Workers Sites" in project.only().text
    project.write("wrangler.toml", 'compatibility_date = "2026-01-01"\n[site]\nbucket = "x"\nentry-point = "src"\n')
    assert project.problems()[0].hint == 'add main = "src"'


def test_a_python_worker_without_its_flag(project: Project):
    project.write("wrangler.toml", 'main = "src/entry.py"\ncompatibility_date = "2026-01-01"\n')
    problem = project.only()
    assert problem.severity == "warning"
    assert problem.text == "The `python_workers` compatibility flag is required to use Python."
    project.write("x.js", "")
    project.write("wrangler.toml", 'main = "x.js"\ncompatibility_date = "2026-01-01"\n')
    assert project.worker().compatibility_flags == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            '"2026-13-01"',
            '"compatibility_date" field should be a valid ISO-8601 date (YYYY-MM-DD), but got "2026-13-01".',
        ),
        (
            '"2026-02-30"',
            '"compatibility_date" field should be a valid ISO-8601 date (YYYY-MM-DD), but got "2026-02-30".',
        ),
        ('"2026-1-5"', '"compatibility_date" field should be a valid ISO-8601 date (YYYY-MM-DD), but got "2026-1-5".'),
        ('"soon"', '"compatibility_date" field should be a valid ISO-8601 date (YYYY-MM-DD), but got "soon".'),
        ('""', '"compatibility_date" field should be a valid ISO-8601 date (YYYY-MM-DD), but got "".'),
        (
            '"2026\u201301\u201301"',
            '"compatibility_date" field should use ISO-8601 accepted hyphens (-) rather than en-dashes (\u2013) '
            "or em-dashes (\u2014).",
        ),
        ("2026-01-01", 'Expected "compatibility_date" to be of type string but got "2026-01-01".'),
        ("5", 'Expected "compatibility_date" to be of type string but got 5.'),
    ],
)
def test_wrong_dates(project: Project, value: str, text: str):
    project.write("wrangler.toml", HEAD.replace('"2026-01-01"', value))
    problem = project.only()
    assert (problem.severity, problem.text, problem.line) == ("error", text, 3)


def test_a_date_after_today_is_a_warning(project: Project):
    project.write("wrangler.toml", HEAD.replace("2026-01-01", "2026-11-23"))
    today = datetime.date(2026, 11, 22)
    problem = project.only(today=today)
    assert problem.severity == "warning"
    assert problem.text == '"compatibility_date" is in the future: 2026-11-23.'
    assert "2026-11-22" in problem.hint
    project.load(today=today + datetime.timedelta(days=1))
    assert project.worker(today=today + datetime.timedelta(days=1)).compatibility_date == "2026-11-23"


def test_without_a_date(project: Project):
    project.write("wrangler.toml", HEAD.replace('compatibility_date = "2026-01-01"\n', ""))
    problem = project.only()
    assert (problem.severity, problem.text) == (
        "warning",
        "No compatibility_date was specified. Using today's date: 2026-11-22.",
    )
    assert problem.hint == 'add compatibility_date = "2026-11-22"'
    [worker] = project.load().workers
    assert worker.compatibility_date == "2026-11-22"


@pytest.mark.parametrize(
    ("value", "shown"), [('"python_workers"', '"python_workers"'), ('["a", 1]', '["a",1]'), ("{}", "{}")]
)
def test_wrong_flags(project: Project, value: str, shown: str):
    project.write("wrangler.toml", HEAD.replace('["python_workers"]', value))
    [text] = project.errors()
    assert text == f'Expected "compatibility_flags" to be of type string array but got {shown}.'


@pytest.mark.parametrize(
    ("body", "text", "field"),
    [
        (
            'triggers = { crons = "* * * * *" }\n',
            'Expected "triggers.crons" to be of type array, but got {"crons":"* * * * *"}.',
            "triggers.crons",
        ),
        ("triggers = ['* * * * *']\n", 'Expected "triggers" to be of type object but got ["* * * * *"].', "triggers"),
        ("triggers = 5\n", 'Expected "triggers" to be of type object but got 5.', "triggers"),
        (
            "triggers = { crons = [1] }\n",
            'Expected "triggers.crons[0]" to be of type string but got 1.',
            "triggers.crons[0]",
        ),
    ],
)
def test_wrong_triggers(project: Project, body: str, text: str, field: str):
    project.toml(body)
    problem = project.only()
    assert (problem.severity, problem.text, problem.field) == ("error", text, field)


def test_crons_are_taken_as_they_are(project: Project):
    project.toml('[triggers]\ncrons = ["* * * * *", "not a cron"]\n')
    assert project.worker().crons == ("* * * * *", "not a cron")
    project.toml("[triggers]\n")
    assert project.worker().crons == ()


def test_a_cron_that_stands_twice_runs_once(project: Project):
    project.toml('[triggers]\ncrons = [\n"* * * * *",\n"0 0 * * *",\n"* * * * *",\n]\n')
    session = project.load()
    [warning] = session.warnings
    assert warning.text == "duplicate cron found: * * * * *"
    assert (warning.field, warning.line) == ("triggers.crons[2]", BODY_LINE + 4)
    assert session.workers[0].crons == ("* * * * *", "0 0 * * *")


def test_crons_at_the_top_level(project: Project):
    project.toml('crons = ["* * * * *"]\n')
    problem = project.only()
    assert problem.text == 'Unexpected fields found in top-level field: "crons"'
    assert problem.hint == 'did you mean "triggers.crons"?'


def test_dev(project: Project):
    project.toml('[dev]\nip = "0.0.0.0"\nport = 9000\ninspector_port = 1\nlocal_protocol = "http"\n')
    assert project.worker().dev == DevSettings("0.0.0.0", 9000)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('[dev]\nport = "9000"\n', 'Expected "dev.port" to be of type number but got "9000".'),
        ("[dev]\nport = 65536\n", '"dev.port" must be a whole number from 0 to 65535, but is 65536.'),
        ("[dev]\nport = 1.5\n", '"dev.port" must be a whole number from 0 to 65535, but is 1.5.'),
        ("[dev]\nip = 5\n", 'Expected "dev.ip" to be of type string but got 5.'),
        ("dev = 5\n", 'The field "dev" should be an object but got 5.'),
    ],
)
def test_wrong_dev(project: Project, body: str, text: str):
    project.toml(body)
    assert project.errors() == [text]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('[dev]\nlocal_protocol = "https"\n', "dev.local_protocol"),
        ("[dev]\nprot = 1\n", 'Unexpected fields found in dev field: "prot"'),
        ('[build]\ncomand = "make"\n', 'Unexpected fields found in build field: "comand"'),
        ("max_foo = 1\n", 'Unexpected fields found in top-level field: "max_foo"'),
    ],
)
def test_a_word_of_warning(project: Project, body: str, words: str):
    project.toml(body)
    problem = project.only()
    assert problem.severity == "warning"
    assert words in problem.text


def test_node_compat_is_gone(project: Project):
    project.toml("node_compat = true\n")
    [text] = project.errors()
    assert "nodejs_compat" in text


@pytest.mark.parametrize(
    ("given", "meant"), [("queue", "queues"), ("compatibilty_date", "compatibility_date"), ("var", "vars")]
)
def test_the_nearest_field(project: Project, given: str, meant: str):
    project.toml(f"{given} = 1\n")
    assert project.only().hint == f'did you mean "{meant}"?'


def test_fields_that_only_matter_for_a_deployment_are_silent(project: Project):
    project.toml(
        'account_id = "x"\nroutes = ["a.example/*"]\nworkers_dev = false\nminify = true\nlogpush = true\nsend_metrics = false\n'
        "keep_vars = true\nupload_source_maps = true\npreview_urls = false\n"
        "[observability]\nenabled = true\n[limits]\ncpu_ms = 5\n[placement]\nmode = 'smart'\n"
        "[[migrations]]\ntag = 'v1'\nnew_classes = ['X']\n[build]\ncwd = 'x'\n[python_modules]\nexclude = []\n"
        "[define]\nX = '1'\n[alias]\na = 'b'\n"
    )
    assert project.worker().name == "app"


def test_how_javascript_is_bundled(project: Project):
    body = (
        'tsconfig = "t.json"\nminify = true\nalias = { a = "./b.ts" }\n'
        '[[rules]]\ntype = "Text"\nglobs = ["**/*.sql"]\n[define]\nX = "1"\n'
        '[env.staging]\nname = "staging"\nminify = false\ndefine = { X = "2" }\n'
    )
    project.write("x.ts", "")
    project.write("wrangler.toml", HEAD.replace("src/entry.py", "x.ts") + body)
    bundling = project.worker().bundling
    assert bundling == Bundling(
        rules=(Rule("Text", ("**/*.sql",)),),
        define={"X": "1"},
        alias={"a": "./b.ts"},
        minify=True,
        tsconfig=project.root / "t.json",
    )
    staging = project.worker(env="staging").bundling
    assert staging == replace(bundling, define={"X": "2"}, minify=False)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("[rules.x]\n", 'The field "rules" should be an array but got {"x":{}}.'),
        ("define = { X = 1 }\n", 'The field "define.X" should be a string but got 1.'),
        ("alias = []\n", 'The field "alias" should be an object but got [].'),
        (
            'rules = [{ type = "Text" }]\n',
            'Expected "rules[0].globs" to be an array of strings but got undefined',
        ),
        (
            'rules = [{ type = "Wasm", globs = [] }]\n',
            'bindings should have a string "type" field, which contains one of "ESModule", "CommonJS", '
            '"CompiledWasm", "Text", or "Data".',
        ),
    ],
)
def test_faulty_bundling(project: Project, body: str, text: str):
    project.toml(body)
    assert project.errors() == [text]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('minify = "yes"\n', 'Expected "minify" to be of type boolean but got "yes".'),
        ("account_id = 5\n", 'Expected "account_id" to be of type string but got 5.'),
        ("keep_vars = 1\n", 'Expected "keep_vars" to be of type boolean but got 1.'),
    ],
)
def test_they_still_have_to_be_of_wranglers_type(project: Project, body: str, text: str):
    project.toml(body)
    assert project.errors() == [text]
