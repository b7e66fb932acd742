"""Run by pytest inside a fetch handler: D1 through workers-runtime-sdk."""

import pytest
from pyodide.ffi import JsException, JsProxy, run_sync
from workers import env
from workers.rpc import JsDict, _BindingWrapper

DB = env.DB


async def refused(awaitable):
    with pytest.raises(JsException) as caught:
        await awaitable
    return str(caught.value)


@pytest.fixture(autouse=True)
async def table():
    await DB.exec(
        "DROP TABLE IF EXISTS users\nCREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, score REAL, data BLOB)"
    )
    await DB.batch(
        [
            DB.prepare("INSERT INTO users (name, score, data) VALUES (?, ?, ?)").bind("ann", 1.5, b"\x01\x02"),
            DB.prepare("INSERT INTO users (name, score, data) VALUES (?, ?, ?)").bind("bob", 2, None),
        ]
    )


def test_the_sdk_knows_it():
    assert isinstance(DB, _BindingWrapper)
    assert DB._binding.constructor.name == "D1Database"
    assert DB.prepare("SELECT 1")._binding.constructor.name == "D1PreparedStatement"


async def test_all_run_first_raw():
    found = await DB.prepare("SELECT * FROM users ORDER BY id").all()
    ann = {"id": 1, "name": "ann", "score": 1.5, "data": [1, 2]}
    bob = {"id": 2, "name": "bob", "score": 2, "data": None}
    assert found.success is True and found.results == [ann, bob]
    assert found.results[0].name == "ann" and type(found.results[1]) is JsDict
    assert (await DB.prepare("SELECT * FROM users WHERE id = ?").bind(2).run())["results"] == [bob]
    assert await DB.prepare("SELECT * FROM users ORDER BY id").first() == ann
    assert await DB.prepare("SELECT * FROM users ORDER BY id").first("name") == "ann"
    assert await DB.prepare("SELECT * FROM users WHERE id = 9").first() is None
    assert await DB.prepare("SELECT * FROM users WHERE id = 9").first("name") is None
    raw = [[1, "ann"], [2, "bob"]]
    statement = DB.prepare("SELECT id, name FROM users ORDER BY id")
    assert await statement.raw() == raw
    assert await statement.raw(columnNames=True) == [["id", "name"], *raw]
    assert await statement.raw({"columnNames": True}) == [["id", "name"], *raw]
    missing = "Error: D1_COLUMN_NOTFOUND: Column not found (nope)"
    assert await refused(statement.first("nope")) == missing


async def test_meta():
    meta = (await DB.prepare("INSERT INTO users (name) VALUES (?)").bind("eve").run()).meta
    assert (meta.changes, meta.last_row_id, meta.changed_db, meta.rows_written) == (1, 3, True, 2)
    assert isinstance(meta.duration, (int, float)) and meta.size_after > 4096 and isinstance(meta.served_by, str)
    meta = (await DB.prepare("SELECT * FROM users").run()).meta
    assert (meta.changes, meta.changed_db, meta.rows_read, meta.rows_written) == (0, False, 3, 0)
    assert (await DB.prepare("UPDATE users SET score = 0").run()).meta.changes == 3
    assert (await DB.prepare("DELETE FROM users WHERE id > 1").run()).meta.changes == 2


async def test_batch_is_one_transaction():
    results = await DB.batch(
        [
            DB.prepare("INSERT INTO users (name) VALUES (?)").bind("eve"),
            DB.prepare("SELECT count(*) AS n FROM users"),
        ]
    )
    assert [r.results for r in results] == [[], [{"n": 3}]]
    insert = DB.prepare("INSERT INTO users (name) VALUES (?)")
    text = (
        "Error: D1_ERROR: UNIQUE constraint failed: users.name: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)"
    )
    assert await refused(DB.batch([insert.bind("new"), insert.bind("ann")])) == text
    assert await DB.prepare("SELECT count(*) AS n FROM users").first("n") == 3
    assert await refused(DB.batch([])) == "Error: D1_ERROR: No SQL statements detected."


async def test_exec():
    done = await DB.exec("INSERT INTO users (name) VALUES ('x')\n\nINSERT INTO users (name) VALUES ('y');\n")
    assert done["count"] == 2 and done.duration >= 0
    text = "Error: D1_EXEC_ERROR: Error in line 1: INSERT INTO users (name): incomplete input: SQLITE_ERROR"
    assert await refused(DB.exec("INSERT INTO users (name)\nVALUES ('z')")) == text
    broken = await refused(DB.exec("INSERT INTO users (name) VALUES ('z')\nINSERT INTO nope VALUES (1)"))
    assert broken.endswith("no such table: nope: SQLITE_ERROR")
    assert await DB.prepare("SELECT count(*) n FROM users WHERE name = 'z'").first("n") == 0


@pytest.mark.parametrize(
    ("value", "seen", "kind"),
    [
        (None, None, "null"),
        (True, 1, "real"),
        (3, 3, "real"),
        (2.5, 2.5, "real"),
        (float("nan"), None, "null"),
        ("t", "t", "text"),
        ("", "", "text"),
        (b"\x00\x01", [0, 1], "blob"),
        ([1, 2], [1, 2], "blob"),
        (b"", [], "blob"),
        (2**53 - 2, 2**53 - 2, "real"),
    ],
)
async def test_parameters(value, seen, kind):
    row = await DB.prepare("SELECT ?1 AS v, typeof(?1) AS t").bind(value).first()
    assert row == {"v": seen, "t": kind}


async def test_affinity_decides_what_a_number_becomes():
    await DB.exec("DROP TABLE IF EXISTS kinds\nCREATE TABLE kinds (i INTEGER, t TEXT)")
    await DB.prepare("INSERT INTO kinds VALUES (?, ?)").bind(1, 1).run()
    row = await DB.prepare("SELECT i, typeof(i) AS ti, t FROM kinds").first()
    assert row == {"i": 1, "ti": "integer", "t": "1.0"}  # as on Cloudflare: JavaScript has no integers


async def test_large_integers_are_what_javascript_sees():
    row = await DB.prepare("SELECT 9007199254740993 AS v, 9e999 AS w").first()
    assert row == {"v": 9007199254740992, "w": None}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1}, "Type 'object' not supported for value '[object Object]'"),
        (["x"], "Type 'object' not supported for value 'x'"),
        ([300], "Type 'object' not supported for value '300'"),
        (2**60, "Type 'bigint' not supported for value '1152921504606846976'"),
    ],
)
def test_parameters_that_are_refused(value, text):
    with pytest.raises(JsException) as caught:
        DB.prepare("SELECT ?").bind(value)
    assert str(caught.value) == "Error: D1_TYPE_ERROR: " + text


async def test_undefined_is_refused_without_the_sdk():
    with pytest.raises(JsException, match="D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'"):
        DB._binding.prepare("SELECT ?").bind(None)  # Python's None is JavaScript's undefined here


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT * FROM nope", "no such table: nope: SQLITE_ERROR"),
        ("SELECT nope FROM users", "no such column: nope at offset 7: SQLITE_ERROR"),
        ("SELEC 1", 'near "SELEC": syntax error at offset 0: SQLITE_ERROR'),
        ("", "No SQL statements detected."),
        ("-- nothing", "SQL code did not contain a statement."),
        ("SELECT ?", "Wrong number of parameter bindings for SQL query."),
        ("ATTACH DATABASE ':memory:' AS x", "not authorized: SQLITE_AUTH"),
        ("PRAGMA journal_mode", "not authorized: SQLITE_AUTH"),
        ("CREATE TEMP TABLE x (a)", "not authorized: SQLITE_AUTH"),
        ("VACUUM", "cannot VACUUM from within a transaction: SQLITE_ERROR"),
        ("SELECT sqlite_version()", "not authorized to use function: sqlite_version at offset 7: SQLITE_ERROR"),
        (
            "INSERT INTO users (id) VALUES (1)",
            "UNIQUE constraint failed: users.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)",
        ),
        (f"SELECT '{'x' * 100_000}'", "statement too long: SQLITE_TOOBIG"),
    ],
)
async def test_statements_that_are_refused(sql, text):
    assert await refused(DB.prepare(sql).run()) == "Error: D1_ERROR: " + text


@pytest.mark.parametrize("sql", ["BEGIN TRANSACTION", "COMMIT", "SAVEPOINT x"])
async def test_transactions_are_not_begun_by_hand(sql):
    assert (await refused(DB.prepare(sql).run())).startswith("Error: D1_ERROR: To execute a transaction, please use")


async def test_limits():
    hundred = ",".join("?" * 100)
    assert len(await DB.prepare(f"SELECT {hundred}").bind(*range(100)).raw()) == 1
    text = "too many SQL variables at offset 207: SQLITE_ERROR"
    assert await refused(DB.prepare(f"SELECT {hundred},?").bind(*range(101)).run()) == "Error: D1_ERROR: " + text
    big = DB.prepare("SELECT length(?) AS n")
    assert await big.bind("x" * 2_000_000).first("n") == 2_000_000
    assert await refused(big.bind("x" * 2_000_001).run()) == "Error: D1_ERROR: string or blob too big: SQLITE_TOOBIG"


async def test_errors_have_a_cause():
    with pytest.raises(JsException) as caught:
        await DB.prepare("SELECT * FROM nope").run()
    assert caught.value.name == "Error"
    assert caught.value.cause.message == "no such table: nope: SQLITE_ERROR"


async def test_sessions():
    session = DB.withSession("first-primary")
    assert session.getBookmark() is None
    assert await session.prepare("SELECT count(*) AS n FROM users").first("n") == 2
    first = session.getBookmark()
    assert isinstance(first, str) and len(first.split("-")) == 4
    await session.batch([session.prepare("INSERT INTO users (name) VALUES ('s')")])
    assert session.getBookmark() > first
    assert DB.withSession(first).getBookmark() == first


def test_run_sync():
    assert run_sync(DB.prepare("SELECT 1 AS one").first("one")) == 1


async def test_several_columns_of_one_name():
    statement = DB.prepare("SELECT 1 AS a, 2 AS a")
    assert (await statement.all()).results == [{"a": 2}]
    assert await statement.raw(columnNames=True) == [["a", "a"], [1, 2]]


async def test_pragmas_triggers_and_search():
    columns = (await DB.prepare("PRAGMA table_info(users)").all()).results
    assert [column.name for column in columns] == ["id", "name", "score", "data"]
    await DB.prepare(
        "CREATE TRIGGER t AFTER INSERT ON users\nBEGIN\n  UPDATE users SET score = 9 WHERE id = new.id;\nEND;"
    ).run()
    assert await DB.prepare("INSERT INTO users (name) VALUES ('t') RETURNING id").first("id") == 3
    assert await DB.prepare("SELECT score FROM users WHERE name = 't'").first("score") == 9
    await DB.exec("DROP TABLE IF EXISTS found\nCREATE VIRTUAL TABLE found USING fts5(body)")
    await DB.prepare("INSERT INTO found VALUES (?)").bind("hello world").run()
    assert (await DB.prepare("SELECT body FROM found WHERE found MATCH 'hello'").all()).results == [
        {"body": "hello world"}
    ]


async def test_the_schema_may_change():
    await DB.exec(
        "DROP TABLE IF EXISTS people\nALTER TABLE users ADD COLUMN age\nALTER TABLE users RENAME COLUMN age TO years"
    )
    await DB.exec(
        "ALTER TABLE users DROP COLUMN years\nCREATE INDEX by_score ON users (score)\nALTER TABLE users RENAME TO people"
    )
    assert await DB.prepare("SELECT count(*) AS n FROM people").first("n") == 2
    no_function = "Error: D1_ERROR: no such function: median at offset 7: SQLITE_ERROR"
    assert await refused(DB.prepare("SELECT median(1)").all()) == no_function
    deep = "SELECT " + "1+(" * 100 + "1" + ")" * 100
    too_deep = "Error: D1_ERROR: Expression tree is too large (maximum depth 100): SQLITE_ERROR"
    assert await refused(DB.prepare(deep).all()) == too_deep


async def test_blank_statements_among_others():
    results = await DB.batch([DB.prepare(""), DB.prepare("SELECT 1 AS one"), DB.prepare("  \n")])
    assert [result.results for result in results] == [[{"one": 1}]]
    assert await refused(DB.prepare(";").all()) == "Error: D1_ERROR: SQL code did not contain a statement."


async def test_the_whole_file():
    data = bytes(await DB.dump())
    assert data.startswith(b"SQLite format 3\x00")


async def test_without_the_sdks_conversions():
    raw = DB._binding
    found = await raw.prepare("SELECT name FROM users ORDER BY id").all()
    assert isinstance(found, JsProxy) and found.results[0].name == "ann"
    assert found.results.to_py() == [{"name": "ann"}, {"name": "bob"}]
