"""Whatever stands in the files, `load_session` gives a SessionConfig or a ConfigError, and both can be printed."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from config_project import Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wrangler_py.config import ConfigError, SessionConfig, format_problems, keys

EXAMPLE = (Path(__file__).parents[2] / "wrangler.toml.example").read_bytes()
JSONC = b"""// a config
{
  "name": "app", "main": "src/entry.py", /* x */
  "compatibility_date": "2026-01-01", "compatibility_flags": ["python_workers"],
  "vars": {"A": "x", "B": {"c": [1, 2.5, null, true]}},
  "triggers": {"crons": ["* * * * *"]},
  "queues": {
    "producers": [{"binding": "Q", "queue": "q"}],
    "consumers": [{"queue": "q", "max_batch_size": 10, "dead_letter_queue": "d"}],
  },
  "kv_namespaces": [{"binding": "K", "id": "x"}],
  "env": {"dev": {"vars": {"A": "y"}, "queues": {"producers": [{"binding": "Q", "queue": "q2"}]}}},
}
"""
DEV_VARS = b"A=1\nexport B='x\ny' # c\nC=\"$A\"\n"


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def load(folder: Path, name: str, content: bytes, env: str | None) -> None:
    project = Project(folder)
    path = project.write(name, content)
    try:
        session = project.load(name, env=env)
    except ConfigError as error:
        problems = error.problems
        assert any(p.severity == "error" for p in problems)
    else:
        assert isinstance(session, SessionConfig)
        problems = list(session.warnings)
        assert all(p.severity == "warning" for p in problems)
        assert [w.path for w in session.workers] == [path]
    assert all(p.text for p in problems)
    format_problems(problems, color=True).encode()


environments = st.sampled_from([None, "dev", "staging", "nope"])
formats = st.sampled_from([("wrangler.toml", EXAMPLE), ("wrangler.jsonc", JSONC)])
relaxed = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@pytest.mark.no_cover
@given(formats, st.data(), environments)
def test_a_config_cut_short(folder: Path, which: tuple[str, bytes], data: st.DataObject, env: str | None):
    name, content = which
    load(folder, name, content[: data.draw(st.integers(0, len(content)))], env)


@relaxed
@pytest.mark.no_cover
@given(formats, st.data(), environments)
def test_a_config_with_bytes_changed(folder: Path, which: tuple[str, bytes], data: st.DataObject, env: str | None):
    name, content = which
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b"'", b"[", b"]", b"{", b"}", b",", b"\n", b"=", b"/*", b"\\"])
        )
    load(folder, name, bytes(changed), env)


@relaxed
@pytest.mark.no_cover
@given(st.sampled_from(["wrangler.toml", "wrangler.json"]), st.binary(max_size=200))
def test_any_bytes(folder: Path, name: str, content: bytes):
    load(folder, name, content, None)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["q", "Q", "src/entry.py"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*keys.PRODUCER, *keys.CONSUMER, *keys.QUEUES, "crons", "bindings", "name", "A", "required"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)
sections = st.dictionaries(st.sampled_from([*keys.TOP_LEVEL, *keys.REMOVED, "junk"]), values, max_size=6)


@relaxed
@pytest.mark.no_cover
@given(
    sections, st.none() | values | st.dictionaries(st.sampled_from(["dev", "nope"]), values | sections), environments
)
def test_any_value_in_any_field(folder: Path, top: dict[str, Any], envs: Any, env: str | None):
    config = {"main": "src/entry.py", **top}
    if envs is not None:
        config["env"] = envs
    # json.dumps writes NaN and Infinity, which are refused; 1e999 is read as an infinity.
    text = json.dumps(config).replace("NaN", "null").replace("-Infinity", "-1e999").replace("Infinity", "1e999")
    load(folder, "wrangler.json", text.encode(), env)


@relaxed
@pytest.mark.no_cover
@given(st.binary(max_size=60) | st.text(st.sampled_from("AB= '\"`#\n\\${}:x-")).map(str.encode), st.data())
def test_any_dev_vars(tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject):
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name))
        project.toml()
        cut = DEV_VARS[: data.draw(st.integers(0, len(DEV_VARS)))]
        project.write(data.draw(st.sampled_from([".dev.vars", ".env"])), cut + content)
        for problem in project.problems():
            assert problem.text
