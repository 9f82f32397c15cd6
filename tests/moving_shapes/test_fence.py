"""Only a data source, a provider of evaluations and a tokenizer import the synthetic set."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[2] / "lumiere_jax"
FENCED = "lumiere_jax.moving_shapes"
ALLOWED = {
    "input_pipeline/sources.py",
    "evaluation/moving_shapes.py",
    "preparation/tokenizer.py",  # default captions
}


def imported_modules(source: str, package: str) -> set[str]:
    """Return the absolute names that a module of a package imports, those of functions included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -node.level + 1 or None] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def modules() -> dict[str, set[str]]:
    """Return the imports of every module of the package, by path below it."""
    return {
        path.relative_to(PACKAGE).as_posix(): imported_modules(
            path.read_text(encoding="utf-8"),
            ".".join(path.parent.relative_to(PACKAGE.parent).parts),
        )
        for path in PACKAGE.rglob("*.py")
    }


def is_below(name: str, package: str) -> bool:
    """Return whether a dotted name is that of a package or of something in it."""
    return name == package or name.startswith(f"{package}.")


def test_only_the_allowed_modules_import_the_synthetic_set():
    importers = {
        path
        for path, names in modules().items()
        if not path.startswith("moving_shapes/") and any(is_below(name, FENCED) for name in names)
    }
    assert importers - ALLOWED == set()
    assert importers  # the walk found something


def test_the_synthetic_set_imports_nothing_else_of_the_package():
    for path, names in modules().items():
        if path.startswith("moving_shapes/"):
            own = {name for name in names if is_below(name, "lumiere_jax")}
            assert all(is_below(name, FENCED) for name in own), path


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("import lumiere_jax.moving_shapes.scenes as s", "lumiere_jax.evaluation"),
        ("from lumiere_jax import moving_shapes", "lumiere_jax"),
        ("from ..moving_shapes.scenes import place", "lumiere_jax.evaluation"),
        ("from . import moving_shapes", "lumiere_jax"),
        ("def f():\n    from lumiere_jax.moving_shapes import prompt", "lumiere_jax.text"),
    ],
)
def test_every_form_of_import_is_seen(source, package):
    assert any(is_below(name, FENCED) for name in imported_modules(source, package))
