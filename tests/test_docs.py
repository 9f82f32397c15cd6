"""Documents name only what exists: commands, flags, defaults, paths, links, names, floors."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import pathlib
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from absl import flags

from lumiere_jax import sample_flags
from lumiere_jax.sampling import StageConfig
from lumiere_jax.training.command_line import load_config
from lumiere_jax.training.config import Experiment
from lumiere_jax.training.stages import STAGES

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "lumiere_jax"
OURS = ("lumiere_jax", "benchmarks", "data", "launch", "tests")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
    ROOT / "data/demo/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "tests/golden/README.md"]
SOURCES = sorted(
    path
    for folder in ("lumiere_jax", "configs", "data", "launch", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
# Flags of absl and XLA, and the beginning of pip's --no-deps.
FOREIGN = {"help", "helpfull", "verbosity", "xla_force_host_platform_device_count", "no"}
UNKNOWN = object()  # default of a flag that is not a literal


def name_of(path: pathlib.Path) -> str:
    """Return the path inside of the project."""
    return path.relative_to(ROOT).as_posix()


def read(path: pathlib.Path) -> str:
    """Return the text of a page, or the docstring of a module, with continued lines joined."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    return re.sub(r"\\\n\s*", " ", text)


def find_module(name: str) -> pathlib.Path | None:
    """Return the file that `python -m name` runs."""
    path = ROOT / name.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__main__.py") if p.is_file()), None)


@functools.cache
def flags_of(module: str) -> dict[str, Any]:
    """Return the flags that a program defines, with their defaults."""
    found: dict[str, Any] = {}
    if module == "lumiere_jax.sample":
        values = flags.FlagValues()
        sample_flags.define(values)
        found = {name: values[name].default for name in values}
    for node in ast.walk(ast.parse(find_module(module).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        called = node.func.id if isinstance(node.func, ast.Name) else called
        first = node.args[0]
        if called.startswith(("DEFINE", "define_path")) and isinstance(first, ast.Constant):
            found[first.value] = literal(node.args[1] if len(node.args) > 1 else None)
    return found


def literal(node: ast.expr | None) -> Any:
    """Return the value of an expression, or UNKNOWN."""
    try:
        return eval(compile(ast.Expression(node), "flag", "eval"), {"__builtins__": {}})
    except Exception:
        return UNKNOWN


def walk_settings(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, default) of every field of a tree of dataclasses, groups included."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        options = typing.get_args(hints[field.name]) or (hints[field.name],)
        if not isinstance(hints[field.name], types.UnionType):
            options = (hints[field.name],)
        yield prefix + field.name, field.default
        for option in options:
            if dataclasses.is_dataclass(option):
                yield from walk_settings(option, f"{prefix}{field.name}.")


SETTINGS = dict(walk_settings(Experiment))
CONFIG_FLAGS = {f"config.{path}" for path in SETTINGS}
PROGRAMS = [
    f"{folder}.{path.stem}"
    for folder in ("lumiere_jax", "benchmarks", "data", "launch")
    for path in (ROOT / folder).glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
]


def find_flags(text: str) -> list[str]:
    """Return the names of the flags in a text."""
    return re.findall(r"(?<![\w-])--([a-zA-Z][\w.]*\w)", text)


def is_flag(name: str, known: set[str]) -> bool:
    """Return whether a flag is known, or is the negation of a known one."""
    return name in known or name in FOREIGN or name.removeprefix("no") in known


def find_commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield (module, arguments) of the commands of ours in a text."""
    for module, arguments in re.findall(r"-m +([\w.]*\w)([^\n`]*)", text):
        if module.split(".")[0] in OURS:
            yield module, arguments


def check_commands(text: str) -> None:
    """Assert that the programs of a text, all its flags and its configurations exist."""
    everything = CONFIG_FLAGS.union(*(flags_of(program) for program in PROGRAMS))
    for module, arguments in find_commands(text):
        assert find_module(module), f"python -m {module} does not exist"
        known = set(flags_of(module)) | (CONFIG_FLAGS if module == "lumiere_jax.train" else set())
        wrong = [name for name in find_flags(arguments) if not is_flag(name, known)]
        assert not wrong, f"python -m {module} has no flag {wrong}"
    wrong = [name for name in find_flags(text) if not is_flag(name, everything)]
    assert not wrong, f"no program has the flag {wrong}"
    for name, stage in re.findall(r"(configs/\w+\.py)(?::(\w+)(?![\w/-]))?", text):
        assert (ROOT / name).is_file(), name
        if stage:
            load_config(f"{ROOT / name}:{stage}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_pages_exist(page):
    check_commands(read(page))


def test_commands_in_docstrings_exist():
    for source in SOURCES:
        check_commands(read(source))


def test_commands_in_messages_exist():
    for source in [*SOURCES, ROOT / "Makefile", ROOT / "launch/demo.sh"]:
        text = source.read_text(encoding="utf-8")
        for module in re.findall(rf"-m +((?:{'|'.join(OURS)})(?:\.\w+)+)", text):
            assert find_module(module), f"{name_of(source)}: python -m {module} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_exist(page):
    places = (ROOT, page.parent, PACKAGE)
    for path in re.findall(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|md|json|sh|yml))`", page.read_text()):
        if not path.startswith(("runs/", "models/")):  # folders of the reader
            assert any((place / path).is_file() for place in places), path


def slug(heading: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        place, _, anchor = target.partition("#")
        file = page.parent / place if place else page
        assert file.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


def resolve(name: str) -> Any:
    """Return the module or object of a dotted name."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError as error:
            if not name.startswith(error.name or " "):
                raise
            continue
        return functools.reduce(getattr, parts[count:], found)
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_of_the_code_exist(page):
    text = page.read_text(encoding="utf-8")
    names = re.findall(r"`(lumiere_jax(?:\.\w+)+)`", text) + re.findall(r"^::: (\S+)", text, re.M)
    for name in re.findall(r"`(\w+\.\w+\.\w+)`", text):
        if find_module(f"lumiere_jax.{name.rpartition('.')[0]}"):
            names.append(f"lumiere_jax.{name}")
    for name in names:
        resolve(name)
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name


def find_rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of all tables."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_settings_of_the_training_guide_have_their_defaults():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8").partition("## Settings")[2]
    rows = list(find_rows(text))
    stated = {row[0].strip("`"): row[1] for row in rows if row[0].strip("`") in SETTINGS}
    assert len(stated) > 40
    for path, default in stated.items():
        assert ast.literal_eval(default.strip("`")) == SETTINGS[path], path


def test_the_stages_of_the_training_guide_are_those_of_the_table():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8").partition("\n## ")[0]
    stated = {row[0].strip("`"): row[2] for row in find_rows(text) if row[0].startswith("`")}
    start = {name: f"`<workdir>/{stage.follows}`" for name, stage in STAGES.items()}
    assert stated == {
        name: start[name] if stage.follows else "fresh parameters" for name, stage in STAGES.items()
    }


def test_the_settings_of_a_stage_have_their_defaults():
    fields = {field.name: field.default for field in dataclasses.fields(StageConfig)}
    rows = find_rows((ROOT / "docs/super_resolution.md").read_text(encoding="utf-8"))
    stated = {row[0].strip("`"): row[1] for row in rows if row[0].strip("`") in fields}
    assert len(stated) == 7
    for name, default in stated.items():
        assert ast.literal_eval(default.strip("`")) == fields[name], name


@pytest.mark.parametrize(
    ("page", "program"),
    [
        ("docs/evaluation.md", "lumiere_jax.evaluate"),
        ("data/README.md", "lumiere_jax.prepare"),
    ],
)
def test_flags_in_tables_have_their_defaults(page, program):
    known, stated = flags_of(program), 0
    for row in find_rows((ROOT / page).read_text(encoding="utf-8")):
        for name in re.findall(r"`--(\w+)`", row[0]):
            if known[name] is not UNKNOWN:
                assert ast.literal_eval(row[1].strip("`")) == known[name], name
                stated += 1
    assert stated > 6


def test_every_page_is_on_the_site_and_in_the_index():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert f": {name_of(page)}\n" in nav, page
        if page.parent.name != "reference" and page.name not in ("index.md", "README.md"):
            assert page.name in index, page


def read_floors() -> dict[str, int]:
    """Return the floor of each folder and module, as docs/architecture.md states it."""
    floors: dict[str, int] = {}
    for row in find_rows((ROOT / "docs/architecture.md").read_text(encoding="utf-8")):
        if row[0].isdecimal():
            for name in re.findall(r"`(\w+)(?:/|\.py)`", row[1]):
                assert name not in floors, name
                floors[name] = int(row[0])
    return floors


def find_imports(path: pathlib.Path) -> Iterator[str]:
    """Yield the modules of the package that a file imports, inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "lumiere_jax":
            yield from (f"lumiere_jax.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_folders_import_only_from_floors_below():
    floors = read_floors()
    rooms = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    assert set(floors) == {room.removesuffix(".py") for room in rooms} - {"__init__"}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for module in find_imports(path):
            other = module.split(".")[1] if module.startswith("lumiere_jax.") else room
            # Entry points are one floor, and one of them may define the flags of another.
            alone = (PACKAGE / f"{room}.py").is_file() and (PACKAGE / f"{other}.py").is_file()
            if other != room and room != "__init__" and other in floors:
                assert floors[other] < floors[room] or (alone and floors[other] == floors[room]), (
                    f"{name_of(path)} imports {module}"
                )
