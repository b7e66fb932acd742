"""`queues`: wrangler's texts to the letter (4.86, and the newer ones named in config/limits_and_texts.py), Cloudflare's ranges."""

import json

import pytest
from config_project import BODY_LINE, Project

from wrangler_py.config.model import Consumer, Producer

UNIQUE = (
    "\nBindings must have unique names, so that they can all be referenced in the worker."
    "\nPlease change your bindings to have unique names."
)


def test_production_defaults(project: Project):
    project.toml('[[queues.producers]]\nbinding = "Q"\nqueue = "q"\n[[queues.consumers]]\nqueue = "q"\n')
    worker = project.worker()
    assert worker.producers == (Producer("Q", "q"),)
    assert worker.consumers == (
        Consumer(
            queue="q",
            max_batch_size=10,
            max_batch_timeout=5,
            max_retries=3,
            dead_letter_queue=None,
            max_concurrency=None,
            retry_delay=0,
        ),
    )


@pytest.mark.parametrize("form", ["toml", "json"])
def test_every_setting_is_read(project: Project, form: str):
    settings = {
        "queue": "q",
        "type": "worker",
        "max_batch_size": 100,
        "max_batch_timeout": 0.5,
        "max_retries": 0,
        "dead_letter_queue": "dead",
        "max_concurrency": 250,
        "retry_delay": 86_400,
    }
    if form == "toml":
        project.toml("[[queues.consumers]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
    else:
        project.json({"queues": {"consumers": [settings]}})
    del settings["type"]
    assert project.worker().consumers == (Consumer(**settings),)


def test_a_producer_without_a_queue_sends_to_one_of_its_own_name(project: Project):
    project.toml('[[queues.producers]]\nbinding = "MY_QUEUE"\n')
    assert project.worker().producers == (Producer("MY_QUEUE", "MY_QUEUE"),)


def test_a_whole_number_may_be_written_as_a_float(project: Project):
    project.toml('[[queues.consumers]]\nqueue = "q"\nmax_retries = 7.0\n')
    retries = project.worker().consumers[0].max_retries
    assert (retries, type(retries)) == (7, int)


# The JSON value of "queues", the text, and the field it is reported for.
WRONG_SHAPES = [
    ([], 'The field "queues" should be an object but got [].', "queues"),
    (5, 'The field "queues" should be an object but got 5.', "queues"),
    (None, 'The field "queues" should be an object but got null.', "queues"),
    ("q", 'The field "queues" should be an object but got "q".', "queues"),
    (
        {"consumers": {"a": 1.0}},
        'The field "queues.consumers" should be an array but got {"a":1}.',
        "queues.consumers",
    ),
    ({"producers": "x"}, 'The field "queues.producers" should be an array but got "x".', "queues.producers"),
    ({"producers": [None]}, '"queue" bindings should be objects, but got null', "queues.producers[0]"),
    ({"producers": ["Q"]}, '"queue" bindings should be objects, but got "Q"', "queues.producers[0]"),
    (
        {"producers": [{}]},
        '"queues.producers[0]" bindings should have a string "binding" field but got {}.',
        "queues.producers[0]",
    ),
    (
        {"producers": [[]]},
        '"queues.producers[0]" bindings should have a string "binding" field but got [].',
        "queues.producers[0]",
    ),
    (
        {"producers": [{"binding": 5, "queue": "q"}]},
        '"queues.producers[0]" bindings should have a string "binding" field but got {"binding":5,"queue":"q"}.',
        "queues.producers[0]",
    ),
    (
        {"producers": [{"binding": "Q", "queue": ""}]},
        '"queues.producers[0]" bindings should optionally have a non-empty string "queue" field '
        'but got {"binding":"Q","queue":""}.',
        "queues.producers[0].queue",
    ),
    (
        {"producers": [{"binding": "Q", "queue": 1}]},
        '"queues.producers[0]" bindings should optionally have a non-empty string "queue" field '
        'but got {"binding":"Q","queue":1}.',
        "queues.producers[0].queue",
    ),
    (
        {"producers": [{"binding": "Q", "queue": "q", "remote": "yes"}]},
        '"queues.producers[0]" should, optionally, have a boolean "remote" field '
        'but got {"binding":"Q","queue":"q","remote":"yes"}.',
        "queues.producers[0].remote",
    ),
    ({"consumers": [7]}, '"queues.consumers[0]" should be a objects, but got 7', "queues.consumers[0]"),
    (
        {"consumers": [{}]},
        '"queues.consumers[0]" should have a string "queue" field but got {}.',
        "queues.consumers[0]",
    ),
    (
        {"consumers": [{"queue": 22}]},
        '"queues.consumers[0]" should have a string "queue" field but got {"queue":22}.',
        "queues.consumers[0]",
    ),
    (
        {"consumers": [{"queue": "q", "type": "http_pull"}]},
        '"queues.consumers[0].type" has an invalid value "http_pull". '
        'Only "worker" consumers can be configured in your Wrangler configuration.',
        "queues.consumers[0].type",
    ),
    (
        {"consumers": [{"queue": "q", "dead_letter_queue": 3}]},
        '"queues.consumers[0]" should, optionally, have a string "dead_letter_queue" field '
        'but got {"queue":"q","dead_letter_queue":3}.',
        "queues.consumers[0].dead_letter_queue",
    ),
    (
        {"consumers": [{"queue": "q", "dead_letter_queue": ""}]},
        '"queues.consumers[0]" should, optionally, have a string "dead_letter_queue" field '
        'but got {"queue":"q","dead_letter_queue":""}.',
        "queues.consumers[0].dead_letter_queue",
    ),
    *(
        (
            {"consumers": [{"queue": "q", key: value}]},
            f'"queues.consumers[0]" should, optionally, have a number "{key}" field '
            f'but got {{"queue":"q","{key}":{json.dumps(value)}}}.',
            f"queues.consumers[0].{key}",
        )
        for key in ("max_batch_size", "max_batch_timeout", "max_retries", "max_concurrency", "retry_delay")
        for value in ("5", True, None)
    ),
]


@pytest.mark.parametrize(("queues", "text", "field"), WRONG_SHAPES, ids=[t[:70] for _, t, _ in WRONG_SHAPES])
def test_wranglers_errors(project: Project, queues: object, text: str, field: str):
    project.json({"queues": queues})
    [problem] = project.problems()
    assert (problem.severity, problem.text, problem.field, problem.line) == ("error", text, field, 1)


def test_visibility_timeout_is_checked_and_has_no_effect(project: Project):
    project.toml('[[queues.consumers]]\nqueue = "q"\nvisibility_timeout_ms = "5"\n')
    assert project.errors() == [
        '"queues.consumers[0]" should, optionally, have a number "visibility_timeout_ms" field '
        'but got {"queue":"q","visibility_timeout_ms":"5"}.'
    ]
    project.toml('[[queues.consumers]]\nqueue = "q"\nvisibility_timeout_ms = 5\n')
    assert "pull consumers" in project.only().text


# field, value as TOML, value in the message, allowed, default
OUT_OF_RANGE = [
    ("max_batch_size", "0", "0", "a whole number from 1 to 100", "10"),
    ("max_batch_size", "101", "101", "a whole number from 1 to 100", "10"),
    ("max_batch_size", "1.5", "1.5", "a whole number from 1 to 100", "10"),
    ("max_batch_size", "nan", "nan", "a whole number from 1 to 100", "10"),
    ("max_batch_size", "9007199254740991", "9007199254740991", "a whole number from 1 to 100", "10"),
    ("max_batch_timeout", "-1", "-1", "a number of seconds from 0 to 60", "5"),
    ("max_batch_timeout", "60.5", "60.5", "a number of seconds from 0 to 60", "5"),
    ("max_batch_timeout", "inf", "inf", "a number of seconds from 0 to 60", "5"),
    ("max_retries", "-1", "-1", "a whole number from 0 to 100", "3"),
    ("max_retries", "101", "101", "a whole number from 0 to 100", "3"),
    ("max_retries", "2.5", "2.5", "a whole number from 0 to 100", "3"),
    ("max_concurrency", "0", "0", "a whole number from 1 to 250", "leave it out"),
    ("max_concurrency", "251", "251", "a whole number from 1 to 250", "leave it out"),
    ("retry_delay", "-1", "-1", "a whole number of seconds from 0 to 86400", "0"),
    ("retry_delay", "86401", "86401", "a whole number of seconds from 0 to 86400", "0"),
    ("retry_delay", "1e300", "1e+300", "a whole number of seconds from 0 to 86400", "0"),
]


@pytest.mark.parametrize(("key", "toml", "shown", "allowed", "default"), OUT_OF_RANGE)
def test_a_number_out_of_range(project: Project, key: str, toml: str, shown: str, allowed: str, default: str):
    project.toml(f'[[queues.consumers]]\nqueue = "q"\n{key} = {toml}\n')
    problem = project.only()
    assert problem.severity == "error"
    assert problem.text == f'"queues.consumers[0].{key}" must be {allowed}, but is {shown}.'
    assert (problem.field, problem.line) == (f"queues.consumers[0].{key}", BODY_LINE + 2)
    assert default in problem.hint


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("max_batch_size", 1, 100),
        ("max_batch_timeout", 0, 60),
        ("max_retries", 0, 100),
        ("max_concurrency", 1, 250),
        ("retry_delay", 0, 86_400),
    ],
)
def test_the_ends_of_each_range(project: Project, key: str, low: int, high: int):
    for value in (low, high):
        project.toml(f'[[queues.consumers]]\nqueue = "q"\n{key} = {value}\n')
        assert getattr(project.worker().consumers[0], key) == value


DEPRECATED = (
    'The "delivery_delay" field in "queues.producers[0]" is deprecated and has no effect. Queue-level settings should '
    'be configured using "wrangler queues update" instead. This setting will be removed in a future version.'
)


def test_delivery_delay_is_deprecated(project: Project):
    project.toml('[[queues.producers]]\nbinding = "Q"\nqueue = "q"\ndelivery_delay = 5\n')
    session = project.load()
    assert [w.text for w in session.warnings] == [DEPRECATED]
    assert session.workers[0].producers[0].delivery_delay == 5


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (
            "86401",
            '"queues.producers[0].delivery_delay" must be a whole number of seconds from 0 to 86400, but is 86401.',
        ),
        ("-1", '"queues.producers[0].delivery_delay" must be a whole number of seconds from 0 to 86400, but is -1.'),
        (
            '"5"',
            '"queues.producers[0]" should, optionally, have a number "delivery_delay" field '
            'but got {"binding":"Q","queue":"q","delivery_delay":"5"}.',
        ),
    ],
)
def test_a_wrong_delivery_delay(project: Project, value: str, error: str):
    project.toml(f'[[queues.producers]]\nbinding = "Q"\nqueue = "q"\ndelivery_delay = {value}\n')
    assert project.errors() == [error]
    assert project.warnings() == [DEPRECATED]


def test_a_remote_queue_is_not_served(project: Project):
    project.toml('[[queues.producers]]\nbinding = "Q"\nqueue = "q"\nremote = true\n')
    session = project.load()
    [warning] = session.warnings
    assert "nothing reaches Cloudflare" in warning.text
    assert session.workers[0].producers[0].remote is True
    project.toml('[[queues.producers]]\nbinding = "Q"\nqueue = "q"\nremote = false\n')
    assert project.worker().producers[0].remote is False


@pytest.mark.parametrize(
    ("body", "text", "field", "hint"),
    [
        ("[queues]\nconsumer = []\n", 'in queues field: "consumer"', "queues.consumer", 'did you mean "consumers"?'),
        (
            '[[queues.consumers]]\nqueue = "q"\nmax_retrys = 3\n',
            'in queues.consumers[0] field: "max_retrys"',
            "queues.consumers[0].max_retrys",
            'did you mean "max_retries"?',
        ),
        (
            '[[queues.consumers]]\nqueue = "q"\nmaxBatchSize = 3\n',
            'in queues.consumers[0] field: "maxBatchSize"',
            "queues.consumers[0].maxBatchSize",
            'did you mean "max_batch_size"?',
        ),
        (
            '[[queues.producers]]\nbinding = "Q"\nqueue_name = "q"\n',
            'in queues.producers[0] field: "queue_name"',
            "queues.producers[0].queue_name",
            'did you mean "queue"?',
        ),
        (
            '[[queues.producers]]\nbinding = "Q"\nzzz = "q"\n',
            'in queues.producers[0] field: "zzz"',
            "queues.producers[0].zzz",
            "known fields: binding, queue, delivery_delay, remote",
        ),
    ],
)
def test_an_unknown_field_is_a_warning_with_the_nearest_name(
    project: Project, body: str, text: str, field: str, hint: str
):
    project.toml(body)
    problem = project.only()
    assert problem.severity == "warning"
    assert problem.text == f"Unexpected fields found {text}"
    assert (problem.field, problem.hint) == (field, hint)
    assert problem.line == BODY_LINE + body.count("\n") - 1


def test_a_queue_cannot_be_its_own_dead_letter_queue(project: Project):
    project.toml('[[queues.consumers]]\nqueue = "q"\ndead_letter_queue = "q"\n')
    problem = project.only()
    assert (problem.severity, problem.text) == ("error", 'Dead letter queue for queue "q" cannot be itself')
    assert problem.line == BODY_LINE + 2


def test_two_queues_may_be_each_others_dead_letter_queue(project: Project):
    project.toml(
        '[[queues.consumers]]\nqueue = "a"\ndead_letter_queue = "b"\n'
        '[[queues.consumers]]\nqueue = "b"\ndead_letter_queue = "a"\n'
    )
    assert [c.dead_letter_queue for c in project.worker().consumers] == ["b", "a"]


def test_two_consumers_of_one_queue_in_one_worker(project: Project):
    project.toml('[[queues.consumers]]\nqueue = "q"\n[[queues.consumers]]\nqueue = "q"\n')
    problem = project.only()
    assert (problem.severity, problem.text) == ("error", 'Multiple consumers defined for queue "q": "app" and "app"')
    assert problem.line == BODY_LINE + 3
    assert f"wrangler.toml:{BODY_LINE}" in problem.hint


def test_two_consumers_of_one_queue_in_two_workers(project: Project):
    for name in ("a", "b"):
        project.write(f"{name}/x.js", "")
        project.write(
            f"{name}/wrangler.toml",
            f'name = "{name}"\nmain = "x.js"\ncompatibility_date = "2026-01-01"\n[[queues.consumers]]\nqueue = "q"\n',
        )
    problem = project.only("a/wrangler.toml", "b/wrangler.toml")
    assert problem.text == 'Multiple consumers defined for queue "q": "a" and "b"'
    assert problem.file == project.root / "b" / "wrangler.toml"
    assert "a/wrangler.toml:4" in problem.hint


@pytest.mark.parametrize("name", ["My-Queue", "my_queue", "-q", "q-", "q.q", "my/ Queue", "ü", "q" * 64])
def test_a_name_that_cloudflare_refuses_is_a_warning(project: Project, name: str):
    project.toml(f'[[queues.producers]]\nbinding = "Q"\nqueue = "{name}"\n[[queues.consumers]]\nqueue = "{name}"\n')
    session = project.load()
    [warning] = session.warnings
    assert warning.text.startswith(f"Queue name '{name}' is invalid:")
    assert warning.line == BODY_LINE + 2
    assert session.workers[0].producers[0].queue == name


@pytest.mark.parametrize("name", ["q", "0", "my-queue-2", "a--b", "q" * 63])
def test_names_that_cloudflare_takes(project: Project, name: str):
    project.toml(f'[[queues.producers]]\nbinding = "Q"\nqueue = "{name}"\n')
    assert project.worker().producers[0].queue == name


def test_a_dead_letter_queues_name_is_looked_at_too(project: Project):
    project.toml('[[queues.consumers]]\nqueue = "q"\ndead_letter_queue = "DEAD"\n')
    assert project.only().field == "queues.consumers[0].dead_letter_queue"


def test_a_binding_that_code_cannot_write_is_a_warning(project: Project):
    project.toml('[[queues.producers]]\nbinding = "MY-QUEUE"\nqueue = "q"\n')
    assert "env.MY-QUEUE" in project.only().text


def test_two_producers_of_one_name(project: Project):
    project.toml('[[queues.producers]]\nbinding = "Q"\nqueue = "a"\n[[queues.producers]]\nbinding = "Q"\nqueue = "b"\n')
    problem = project.only()
    assert problem.severity == "error"
    assert problem.text == "Q assigned to multiple Queue bindings." + UNIQUE
    assert problem.line == BODY_LINE + 3
    assert "queues.producers[0]" in problem.hint


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ('[vars]\nQ = "x"\n', "Queue and Environment Variable"),
        ('[[kv_namespaces]]\nbinding = "Q"\n', "KV Namespace and Queue"),
        ('[ai]\nbinding = "Q"\n', "Queue and AI"),
        ('[[durable_objects.bindings]]\nname = "Q"\nclass_name = "X"\n', "Durable Object and Queue"),
        (
            '[vars]\nQ = "x"\n[[kv_namespaces]]\nbinding = "Q"\n[[d1_databases]]\nbinding = "Q"\n',
            "KV Namespace, Queue, D1 Database, and Environment Variable",
        ),
    ],
)
def test_a_name_of_two_kinds(project: Project, more: str, kinds: str):
    project.toml('[[queues.producers]]\nbinding = "Q"\nqueue = "a"\n' + more)
    assert project.errors() == [f"Q assigned to {kinds} bindings." + UNIQUE]


def test_everything_wrong_is_reported_at_once_in_the_order_of_the_file(project: Project):
    project.toml(
        '[[queues.producers]]\nqueue = "a"\n'
        '[[queues.consumers]]\nqueue = "q"\nmax_batch_size = 500\nmax_retries = "x"\n'
        '[[queues.consumers]]\nqueue = "d"\ndead_letter_queue = "d"\nretry_delay = -1\n'
        "[triggers]\ncrons = 5\n"
    )
    problems = project.problems()
    assert [p.severity for p in problems] == ["error"] * 6
    assert [p.line for p in problems] == [5, 9, 10, 13, 14, 16]


def test_hints_are_written_in_the_files_own_syntax(project: Project):
    body = {"producers": [{}], "consumers": [{}]}
    project.json({"queues": body})
    assert sorted(p.hint for p in project.problems()) == [
        'for example "binding": "MY_QUEUE"',
        'for example "queue": "my-queue"',
    ]
    project.toml("[queues]\nproducers = [{}]\nconsumers = {}\n")
    (project.root / "wrangler.jsonc").unlink()
    assert [p.hint for p in project.problems()] == [
        'for example binding = "MY_QUEUE"',
        "write [[queues.consumers]], with two brackets",
    ]


@pytest.mark.parametrize(
    ("produced", "consumed", "meant"),
    [
        ("emails", "email", True),
        ("jobs", "jbos", True),
        ("jobs", "jods", True),
        ("jobs", "jobs-eu", False),
        ("jobs-1", "jobs-2", False),
        ("jobs-a", "jobs-b", False),
        ("jobs", "tasks", False),
        ("jobs", "jobs", False),
    ],
)
def test_a_misspelt_queue_is_told(project: Project, produced: str, consumed: str, meant: bool):
    project.toml(
        f'[[queues.producers]]\nbinding = "Q"\nqueue = "{produced}"\n[[queues.consumers]]\nqueue = "{consumed}"\n'
    )
    problems = project.load().warnings
    assert [problem.text for problem in problems] == (
        [f'Nothing sends to the queue "{consumed}", and nothing consumes "{produced}".'] if meant else []
    )
    assert all((p.field, p.line) == ("queues.consumers[0].queue", BODY_LINE + 4) for p in problems)


def test_a_dead_letter_queue_is_no_misspelt_one(project: Project):
    project.toml(
        'queues.producers = [{ binding = "Q", queue = "jobd" }]\n'
        'queues.consumers = [{ queue = "tasks", dead_letter_queue = "jobs" }, { queue = "jobs" }]\n'
    )
    assert project.warnings() == []
