"""Each sample's own tests, run as its README says; and what every sample must have."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import json5
import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(
    path for path in (ROOT / "samples").iterdir() if path.is_dir() and not path.name.startswith(("_", "."))
)
CONFIGS = sorted(
    path for sample in SAMPLES for path in sample.rglob("wrangler.*") if path.suffix in (".toml", ".json", ".jsonc")
)
#: The arguments that Cloudflare passes besides `self`. A handler that takes fewer raises a TypeError there.
PASSED = {"queue": 3, "scheduled": 3}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT / "samples"))


def test_the_samples_are_there() -> None:
    assert [sample.name for sample in SAMPLES] == [
        "email-jobs",
        "image-pipeline",
        "mixed",
        "nightly-reports",
        "ts-edge-image-pipeline",
        "ts-task-queue",
        "wait-until",
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_the_samples_own_tests_pass(sample: Path) -> None:
    outer = {name for name in os.environ if name.startswith(("PYTEST_", "COV_"))}
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests"],
        cwd=sample,
        env={name: value for name, value in os.environ.items() if name not in outer},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    # No tests at all end with another code (5).
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("config", CONFIGS, ids=_name)
def test_a_config_is_one_that_cloudflare_takes(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    settings = tomllib.loads(text) if config.suffix == ".toml" else json5.loads(text)

    assert (config.parent / settings["main"]).is_file()
    if settings["main"].endswith(".ts"):
        packages = [folder / "package.json" for folder in (config.parent, config.parent.parent)]
        assert any(package.is_file() and "workerd" in package.read_text(encoding="utf-8") for package in packages)
        return
    assert "python_workers" in settings["compatibility_flags"]
    assert settings["compatibility_date"] >= "2025-08-14"  # from here on, handlers are methods of a class `Default`
    assert (config.parent / "pyproject.toml").is_file()  # pywrangler asks for it


@pytest.mark.parametrize("config", [c for c in CONFIGS if (c.parent / "src" / "entry.py").is_file()], ids=_name)
def test_handlers_take_what_cloudflare_passes(config: Path) -> None:
    tree = ast.parse((config.parent / "src" / "entry.py").read_text(encoding="utf-8"))
    (entry,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Default"]

    for handler in entry.body:
        if isinstance(handler, ast.FunctionDef | ast.AsyncFunctionDef) and handler.name in PASSED:
            assert len(handler.args.args) == 1 + PASSED[handler.name], handler.name


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_a_sample_has_a_readme_that_starts_it_and_asks_it(sample: Path) -> None:
    text = (sample / "README.md").read_text(encoding="utf-8")

    assert "wpy dev" in text
    assert "curl " in text
    assert "[wrangler:info]" in text  # real output
