"""`wpy kv`, `wpy d1` and `wpy r2` in wrangler's words, on the state of a project, without a session."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest
from session_project import Project

CONFIG = """
kv_namespaces = [{ binding = "KV" }, { binding = "CACHE", id = "11112222" }]
d1_databases = [{ binding = "DB", database_name = "app" }]
r2_buckets = [{ binding = "BUCKET", bucket_name = "files" }]
"""


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.config(CONFIG)
    project.code("")
    return project


def refused(done) -> str:
    assert done.code == 1 and done.out == "", done
    return done.err.removeprefix("✘ [ERROR] ").rstrip("\n")


def test_kv_keys(project: Project):
    wpy = project.wpy
    assert wpy("kv", "key", "list", "--binding", "KV", "--json").json == []
    assert not project.state.exists(), "a look leaves no trace"
    put = wpy("kv", "key", "put", "a", "väl", "--binding", "KV", "--metadata", '{"x": 1}', "--ttl", "100", "--local")
    assert put.code == 0 and '"a" on namespace binding: "KV" (id: "KV") with metadata "{"x": 1}"' in put.out
    assert (project.folder / ".wpy" / ".gitignore").read_text() == "*\n"
    (project.folder / "value.bin").write_bytes(b"\x00\xff")
    assert wpy("kv", "key", "put", "b", "--path", "value.bin", "--namespace-id", "KV").code == 0
    assert wpy("kv", "key", "get", "a", "--binding", "KV").out == "väl"
    listed = wpy("kv", "key", "list", "--binding", "KV").json
    assert [key["name"] for key in listed] == ["a", "b"] and listed[0]["metadata"] == {"x": 1}
    assert [key["name"] for key in wpy("kv", "key", "list", "--binding", "KV", "--prefix", "b").json] == ["b"]
    assert wpy("kv", "key", "delete", "a", "--binding", "KV").code == 0
    assert refused(wpy("kv", "key", "get", "a", "--binding", "KV")) == "Value not found"
    namespaces = wpy("kv", "namespace", "list").json
    assert [(n["id"], n["binding"], n["keys"]) for n in namespaces] == [("KV", "KV", 1), ("11112222", "CACHE", 0)]


def test_kv_in_bulk(project: Project):
    wpy = project.wpy
    items = [{"key": "x", "value": "1", "metadata": {"a": 1}}, {"key": "y", "value": "aGk=", "base64": True}]
    project.write("items.json", json.dumps(items))
    project.write("keys.json", '["x", {"name": "y"}, "nope"]')
    assert wpy("kv", "bulk", "put", "items.json", "--binding", "KV").out == "Success!\n"
    found = wpy("kv", "bulk", "get", "keys.json", "--binding", "KV").json
    assert found == {"x": {"value": "1"}, "y": {"value": "hi"}, "nope": {"value": None}}
    project.write("bad.json", json.dumps([{"key": "z", "value": "1"}, {"key": 5}]))
    text = refused(wpy("kv", "bulk", "put", "bad.json", "--binding", "KV"))
    assert 'Unexpected JSON input from "bad.json"' in text and 'The item at index 1 is {"key": 5}' in text
    project.write("late.json", json.dumps([{"key": "z", "value": "1"}, {"key": "k" * 513, "value": ""}]))
    assert "exceeds key length limit of 512" in refused(wpy("kv", "bulk", "put", "late.json", "--binding", "KV"))
    assert [key["name"] for key in wpy("kv", "key", "list", "--binding", "KV").json] == ["x", "y"], "all or none"
    assert wpy("kv", "bulk", "delete", "keys.json", "--binding", "KV", "--force").out == "Success!\n"
    assert wpy("kv", "key", "list", "--binding", "KV").json == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("put", "a", "1", "--binding", "NOPE"), r'.*"NOPE" was not found in the .*\nThere are: KV, CACHE\.'),
        (("put", "a", "--binding", "KV"), "Exactly one of the arguments value and path is required"),
        (
            ("put", "a", "1"),
            r"Exactly one of the arguments binding and namespace-id is required\nThere are: KV, CACHE\.",
        ),
        (("put", "a", "1", "--binding", "KV", "--ttl", "5"), r"Invalid expiration_ttl of 5\. .*at least 60\..*"),
        (("put", ".", "1", "--binding", "KV"), r'Illegal key name "\."\. Please use a different name\.'),
        (("put", "a", "1", "--binding", "KV", "--metadata", "{x"), "The metadata is not JSON: .*"),
        (("put", "a", "--path", "nope.txt", "--binding", "KV"), 'Unable to read the file "nope.txt": No such file.*'),
    ],
    ids=range(7),
)
def test_kv_refuses(project: Project, arguments: tuple[str, ...], text: str):
    assert re.fullmatch(text, refused(project.wpy("kv", "key", *arguments)))


def test_remote_is_refused(project: Project):
    done = project.wpy("kv", "key", "list", "--binding", "KV", "--remote")
    assert done.code == 2 and "use wrangler --remote" in done.err


def test_d1_execute(project: Project):
    wpy = project.wpy
    made = wpy("d1", "execute", "app", "--command", "CREATE TABLE t (id INTEGER, v); INSERT INTO t VALUES (1, x'01')")
    assert made.code == 0 and "2 commands executed successfully." in made.err
    project.write("more.sql", "-- more\nINSERT INTO t VALUES (2, 'a;b');\nSELECT * FROM t;\n")
    [_, shown] = wpy("d1", "execute", "DB", "--file", "more.sql", "--json").json
    assert shown["results"] == [{"id": 1, "v": [1]}, {"id": 2, "v": "a;b"}] and shown["success"] is True
    assert shown["meta"]["rows_read"] == 2
    table = wpy("d1", "execute", "app", "--command", "SELECT id, v FROM t WHERE id = 2").lines
    assert [line.split() for line in table] == [["id", "v"], ["2", "a;b"]]
    bad = "INSERT INTO t VALUES (3, 3); SELECT * FROM nope"
    assert refused(wpy("d1", "execute", "app", "--command", bad)) == "no such table: nope: SQLITE_ERROR"
    done = wpy("d1", "execute", "app", "--json", "--command", bad)
    assert (done.code, json.loads(done.out)) == (1, {"error": {"text": "no such table: nope: SQLITE_ERROR"}})
    [counted] = wpy("d1", "execute", "app", "--json", "--command", "SELECT count(*) AS n FROM t").json
    assert counted["results"] == [{"n": 2}], "all or none"
    unknown = refused(wpy("d1", "execute", "nope", "--command", "SELECT 1"))
    assert unknown.startswith("Couldn't find a D1 DB with the name or binding 'nope' in your wrangler.toml file.")
    assert unknown.endswith("There are: app (DB).")
    assert refused(wpy("d1", "execute", "app")) == "Error: must provide --command or --file."
    [listed] = wpy("d1", "list", "--json").json
    assert (listed["name"], listed["num_tables"]) == ("app", 1)
    assert wpy("d1", "info", "app", "--json").json == listed


def test_d1_migrations_and_export(project: Project):
    wpy = project.wpy
    assert "No migrations present at" in refused(wpy("d1", "migrations", "list", "app"))
    assert "0001_create_users.sql" in wpy("d1", "migrations", "create", "app", "create users").out
    assert "0002_b_c.sql" in wpy("d1", "migrations", "create", "app", "b/c").out
    folder = project.folder / "migrations"
    assert (folder / "0001_create_users.sql").read_text().startswith("-- Migration number: 0001 \t ")
    (folder / "0001_create_users.sql").write_text(
        "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, b BLOB);\n"
        "CREATE TRIGGER log AFTER INSERT ON users BEGIN\n  UPDATE users SET name = name || '!';\nEND;\n"
        "INSERT INTO users (name, b) VALUES ('o''x', x'0102'), (NULL, NULL);"
    )
    (folder / "0002_b_c.sql").write_text("CREATE INDEX by_name ON users (name); INSERT INTO nope VALUES (1);")
    names = [{"name": "0001_create_users.sql"}, {"name": "0002_b_c.sql"}]
    assert wpy("d1", "migrations", "list", "app", "--json").json == names
    done = wpy("d1", "migrations", "apply", "app", "--local")
    assert done.code == 1 and "✅ 0001_create_users.sql" in done.out
    assert "0002_b_c.sql failed with the following errors:\nno such table: nope: SQLITE_ERROR" in done.err
    assert wpy("d1", "migrations", "list", "app", "--json").json == names[1:]
    (folder / "0002_b_c.sql").write_text("CREATE INDEX by_name ON users (name);")
    assert wpy("d1", "migrations", "apply", "app").code == 0
    assert wpy("d1", "migrations", "apply", "app").out == "No migrations to apply!\n"

    assert wpy("d1", "export", "app", "--output", "out.sql").code == 0
    text = (project.folder / "out.sql").read_text()
    assert text.startswith("PRAGMA defer_foreign_keys=TRUE;\n")
    copy = sqlite3.connect(":memory:")
    copy.executescript(text)
    assert copy.execute("SELECT * FROM users").fetchall() == [(1, "o'x!!", b"\x01\x02"), (2, None, None)]
    assert copy.execute("SELECT name FROM d1_migrations").fetchall() == [(n["name"],) for n in names]
    assert {name for (name,) in copy.execute("SELECT name FROM sqlite_master")} >= {"by_name", "log"}
    assert wpy("d1", "export", "app", "--output", "s.sql", "--no-data", "--table", "users").code == 0
    schema = (project.folder / "s.sql").read_text()
    assert "INSERT" not in schema.replace("AFTER INSERT", "") and "d1_migrations" not in schema
    assert "There are: " in refused(wpy("d1", "export", "app", "--output", "s.sql", "--table", "nope"))
    # What sqlite3's own .dump writes is taken too: D1 has a transaction of its own around it.
    project.write("dump.sql", "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE d (a);\nCOMMIT;\n")
    assert wpy("d1", "execute", "app", "--file", "dump.sql").code == 0
    project.write("twice.sql", "BEGIN TRANSACTION;\nCOMMIT;\nBEGIN TRANSACTION;\nDROP TABLE d;\nCOMMIT;\n")
    assert "several transactions" in refused(wpy("d1", "execute", "app", "--file", "twice.sql"))
    # What was exported can be run again, in a database of another state.
    again = wpy("d1", "execute", "app", "--file", "out.sql", "--persist-to", "elsewhere")
    assert again.code == 0, again.err


def test_r2_objects(project: Project):
    wpy = project.wpy
    data = bytes(range(256)) * 1000
    (project.folder / "f.bin").write_bytes(data)
    put = wpy("r2", "object", "put", "files/a/b.bin", "--file", "f.bin", "--ct", "image/png", "--cc", "no-store")
    assert put.out == 'Created object "a/b.bin" in bucket "files" (256,000 bytes).\n'
    assert wpy("r2", "object", "put", "BUCKET/piped", "--pipe", stdin="hello").code == 0
    assert wpy("r2", "object", "get", "files/piped", "--pipe").out == "hello"
    assert wpy("r2", "object", "get", "files/a/b.bin").code == 0
    assert (project.folder / "b.bin").read_bytes() == data
    listed = wpy("r2", "object", "list", "files", "--json").json["objects"]
    assert [(o["key"], o["size"]) for o in listed] == [("a/b.bin", 256_000), ("piped", 5)]
    assert listed[0]["httpMetadata"] == {"contentType": "image/png", "cacheControl": "no-store"}
    assert wpy("r2", "object", "list", "files", "--delimiter", "/", "--json").json["delimitedPrefixes"] == ["a/"]
    [bucket] = wpy("r2", "bucket", "list", "--json").json
    assert (bucket["name"], bucket["objects"], bucket["bytes"]) == ("files", 2, 256_005)
    assert wpy("r2", "object", "delete", "files/piped").code == 0
    gone = refused(wpy("r2", "object", "get", "files/piped", "--pipe"))
    assert gone == 'The specified key does not exist: "piped" in bucket "files".'
    form = "The object path must be in the form of {bucket}/{key} you provided files"
    assert refused(wpy("r2", "object", "put", "files", "--file", "f.bin")) == form
    assert refused(wpy("r2", "object", "put", "files/x")) == "Either the --file or --pipe options are required."
    unknown = refused(wpy("r2", "object", "put", "nope/x", "--file", "f.bin"))
    assert unknown == 'There is no bucket "nope" in "r2_buckets".\nThere are: files (BUCKET).'


def test_a_state_that_cannot_be_used(project: Project):
    project.write(".wpy/state/d1/app.txt", "")
    path = project.state / "d1" / "db-cf3abc83.sqlite"
    path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    text = refused(project.wpy("d1", "execute", "app", "--command", "SELECT 1"))
    assert str(path) in text and "file is not a database" in text
    project.write(".wpy/state/kv", "a file")
    text = refused(project.wpy("kv", "key", "put", "a", "1", "--binding", "KV"))
    assert "kv" in text and "cannot be used" in text


def test_create_prints_what_the_config_needs_and_delete_empties(project: Project):
    wpy = project.wpy
    made = wpy("kv", "namespace", "create", "my cache")
    found = re.search(r'\[\[kv_namespaces\]\]\nbinding = "my_cache"\nid = "[0-9a-f]{32}"\n', made.out)
    assert found and "wrangler kv namespace create my cache" in made.err
    base = (project.folder / "wrangler.toml").read_text()
    entry = wpy("d1", "create", "orders", "--binding", "ORDERS", "--env", "", "--json").json
    assert (entry["binding"], entry["database_name"], len(entry["database_id"])) == ("ORDERS", "orders", 36)
    assert refused(wpy("d1", "create", "app")).startswith("A database with that name already exists")
    bucket = wpy("r2", "bucket", "create", "my-pictures").out
    assert '[[r2_buckets]]\nbinding = "my_pictures"\nbucket_name = "my-pictures"\n' in bucket
    assert "is invalid. Bucket names must begin" in refused(wpy("r2", "bucket", "create", "Bad_Name"))
    assert "[code: 10004]" in refused(wpy("r2", "bucket", "create", "files"))
    assert not project.state.exists() and (project.folder / "wrangler.toml").read_text() == base

    wpy("kv", "key", "put", "a", "1", "--binding", "KV")
    assert (
        wpy("kv", "namespace", "delete", "--binding", "KV", "-y").out
        == 'Deleted KV namespace binding: "KV" (id: "KV").\n'
    )
    assert wpy("kv", "key", "list", "--binding", "KV").json == []
    assert "held nothing" in wpy("kv", "namespace", "delete", "--namespace-id", "KV").out
    wpy("d1", "execute", "app", "--command", "CREATE TABLE t (a)")
    assert wpy("d1", "delete", "DB", "-y").out == "Deleted 'app' successfully.\n"
    assert wpy("d1", "info", "app", "--json").json["num_tables"] == 0
    (project.folder / "x").write_text("x")
    wpy("r2", "object", "put", "files/x", "--file", "x")
    assert "not empty" in refused(wpy("r2", "bucket", "delete", "files"))
    wpy("r2", "object", "delete", "files/x")
    assert wpy("r2", "bucket", "delete", "BUCKET").out == "Deleted bucket 'files'.\n"
    with project.server():
        assert "session runs on" in refused(wpy("d1", "delete", "DB", "-y"))
