"""Which file is read. The order was seen with wrangler 4.86: the first name anywhere above beats the second."""

from pathlib import Path

import pytest

from wrangler_py.config import find_config


@pytest.mark.parametrize("name", ["wrangler.toml", "wrangler.json", "wrangler.jsonc"])
def test_a_config_is_found_in_the_folder_and_above_it(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_config(tmp_path) == tmp_path / name
    assert find_config(deep) == tmp_path / name


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (["wrangler.toml", "wrangler.jsonc", "wrangler.json"], "wrangler.json"),
        (["wrangler.toml", "wrangler.jsonc"], "wrangler.jsonc"),
        (["sub/wrangler.toml", "wrangler.json"], "wrangler.json"),
        (["sub/wrangler.toml", "wrangler.jsonc"], "wrangler.jsonc"),
        (["sub/wrangler.toml", "wrangler.toml"], "sub/wrangler.toml"),
    ],
)
def test_json_before_jsonc_before_toml_wherever_they_stand(tmp_path: Path, there: list[str], found: str):
    (tmp_path / "sub").mkdir()
    for name in there:
        (tmp_path / name).touch()
    assert find_config(tmp_path / "sub") == tmp_path / found


def test_a_folder_and_a_broken_link_of_that_name_are_passed_over(tmp_path: Path):
    (tmp_path / "wrangler.json").mkdir()
    (tmp_path / "wrangler.jsonc").symlink_to("wrangler.jsonc")
    (tmp_path / "wrangler.toml").touch()
    assert find_config(tmp_path) == tmp_path / "wrangler.toml"


def test_the_file_that_is_not_read_is_named(project):
    project.json(name="wrangler.json")
    project.toml(name="sub/wrangler.toml")
    problem = project.only(cwd=project.root / "sub")
    assert problem.text == "wrangler.toml is not read: like wrangler, wpy prefers ../wrangler.json."
    assert "-c wrangler.toml" in problem.hint


def test_a_build_tools_redirect_is_named(project):
    project.toml()
    project.write(".wrangler/deploy/config.json", '{"configPath": "../../dist/wrangler.json"}')
    assert "redirects wrangler" in project.only().text


def test_without_any_config_the_error_names_the_folder_and_the_next_step(project):
    problem = project.only()
    assert problem.severity == "error"
    assert str(project.root) in problem.text
    assert "wpy dev src/entry.py" in problem.hint
    assert 'main = "src/entry.py"' in problem.hint


def test_without_any_config_a_link_that_leads_nowhere_is_named(project):
    (project.root / "wrangler.toml").symlink_to("nowhere.toml")
    (project.root / "wrangler.json").mkdir()
    text = project.only().text
    assert "wrangler.toml is a broken link" in text
    assert "wrangler.json is a folder" in text


def test_a_script_needs_no_config(project):
    session = project.load(script=Path("src/entry.py"))
    [worker] = session.workers
    assert session.warnings == ()
    assert (worker.name, worker.path, worker.root) == ("worker", None, project.root)
    assert worker.main == project.root / "src/entry.py"
    assert worker.language == "python"


def test_a_script_brings_the_config_of_its_own_folder_and_replaces_main(project):
    project.toml()
    project.write("other/wrangler.toml", 'name = "other"\nmain = "nope.py"\ncompatibility_date = "2026-01-01"\n')
    project.write("other/run.js", "")
    [worker] = project.load(script=Path("other/run.js")).workers
    assert worker.name == "other"
    assert worker.main == project.root / "other/run.js"
    assert worker.language == "javascript"


def test_a_script_replaces_main_of_the_first_config_only(project):
    project.toml()
    project.write("b/wrangler.toml", 'name = "b"\nmain = "b.js"\ncompatibility_date = "2026-01-01"\n')
    project.write("b/b.js", "")
    project.write("run.py", "")
    session = project.load("wrangler.toml", "b/wrangler.toml", script=Path("run.py"))
    assert [w.main.name for w in session.workers] == ["run.py", "b.js"]


@pytest.mark.parametrize("script", ["src/nope.py", "src", "README.md"])
def test_a_script_that_cannot_be_run(project, script: str):
    project.write("README.md", "")
    problem = project.only(script=Path(script))
    assert problem.severity == "error"
    assert script in problem.text


def test_several_configs_are_several_workers_in_the_order_given(project):
    for name in ("b", "a"):
        project.write(f"{name}/wrangler.toml", f'name = "{name}"\nmain = "x.js"\ncompatibility_date = "2026-01-01"\n')
        project.write(f"{name}/x.js", "")
    session = project.load("b/wrangler.toml", "a/wrangler.toml")
    assert [w.name for w in session.workers] == ["b", "a"]
    assert [w.root for w in session.workers] == [project.root / "b", project.root / "a"]
    assert [w.files for w in session.workers] == [(project.root / n / "wrangler.toml",) for n in ("b", "a")]


def test_a_config_may_be_given_absolutely_and_through_dots(project):
    project.toml(name="a/wrangler.toml")
    project.write("a/src/entry.py", "")
    (project.root / "b").mkdir()
    for path in (str(project.root / "a" / "wrangler.toml"), "../a/wrangler.toml"):
        [worker] = project.load(path, cwd=project.root / "b").workers
        assert worker.path == project.root / "a" / "wrangler.toml"
        assert worker.main == project.root / "a" / "src" / "entry.py"
