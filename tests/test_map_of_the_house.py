"""Where the documents say that something is, it is: links, the table of CONTRIBUTING.md, the maps of the rooms."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = sorted(path for path in (ROOT / "wrangler_py").rglob("__init__.py") if "    " in path.read_text("utf-8"))


def anchors(document: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    lost = []
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", document.read_text("utf-8")):
        path = document.parent / target if target else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            lost.append(f"{target}#{anchor}")
    assert lost == []


def test_the_table_where_is_what():
    rows = re.findall(r"^\| .* \| (`.*) \|$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
    assert len(rows) > 30
    lost = []
    for row in rows:
        folder = ROOT
        for name in re.findall(r"`([\w./-]+)`", row):
            path = ROOT / name if name.startswith("wrangler_py/") else folder / name
            if name.startswith("wrangler_py/"):
                folder = path if path.is_dir() else path.parent
            if not path.exists() and ("/" in name or "." in name):
                lost.append(f"{name} in {row}")
    assert lost == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.parent.relative_to(ROOT).as_posix())
def test_a_map_names_files_that_are_there(room: Path):
    """The first column of a map: `name  what it is`, `name -> name  ...`, `name, name  ...`."""
    lines = room.read_text("utf-8").partition('"""')[2].partition('"""')[0].splitlines()
    named = [found[1] for line in lines if (found := re.match(r"\s*([\w/]+(?:(?:,|\s+->) [\w/]+)*)  +\w", line))]
    names = [name for column in named for name in re.findall(r"[\w/]+", column)]
    folder = room.parent
    assert [name for name in names if not (folder / f"{name}.py").exists() and not (folder / name).is_dir()] == []
