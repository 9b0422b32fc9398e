"""Documentation keeps its promises: every link leads to a file, every anchor to a heading or a name in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")


def headings(text):
    """The anchors of a Markdown page, as GitHub makes them."""
    for line in re.findall(r"^#+ (.*)$", text, re.M):
        yield re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links(page):
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or ROOT not in (file, *file.parents):
            broken.append(f"{target}: no such file")
        elif anchor:
            text = file.read_text(encoding="utf-8")
            known = anchor in headings(text) if file.suffix == ".md" else re.search(rf"\b{re.escape(anchor)}\b", text)
            if not known:
                broken.append(f"{target}: '{anchor}' is not in the file")
    assert not broken, "\n".join(broken)


def test_course_page_names_every_recipe_and_every_worked_number():
    page = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
    from fastnn.recipes import RECIPES

    files = sorted((ROOT / "tests").glob("test_course_numbers*.py"))
    tests = [name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)]
    missing = [name for name in [*RECIPES, *tests] if f"[{name}]" not in page and f"#{name})" not in page]
    assert not missing


def test_course_items_are_in_order():
    page = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
    items = [(int(p), int(w), int(n)) for p, w, n in re.findall(r"^- \*\*(\d)\.(\d)-(\d+)", page, re.M)]
    assert items == sorted(items) and len(items) > 80


def test_recipes_of_the_table_have_a_script_that_explains_itself():
    from fastnn.recipes import RECIPES

    for recipe in RECIPES.values():
        source = (ROOT / "python" / "fastnn" / "recipes" / f"{recipe.module.rsplit('.', 1)[1]}.py").read_text()
        assert source.startswith(f'"""{recipe.name}: ') and f"fastnn train {recipe.name}" in source
