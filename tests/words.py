"""The project's rules on words, as far as a program can see them.

    python -m tests.words [path …]

A function's docstring begins with a verb; the description of an argument or attribute is a noun
phrase; terms and phrases that were replaced do not come back. Prints `file:line: fault`.
"""

from __future__ import annotations

import ast
import pathlib
import re
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = ("lumiere_jax", "configs", "data", "launch", "benchmarks", "docs", "tests")
HISTORY = {"CHANGELOG.md", "tests/words.py", "tests/test_words.py"}  # name what was replaced

# A verb that is missing here is added; a noun is not.
VERBS = frozenset(
    """
    accumulate add advance allow answer append apply ask assert attach average begin bind blend
    bring build call carry cast change check choose claim clean clear clip close collect combine
    compare compile complete compose compress compute concatenate convert convolve copy correct
    count create crop cut decode define degrade delete derive describe detect determine display
    divide double download downsample draw drop edit embed encode end enter estimate evaluate
    exchange exclude exit expand explain export extend extract fail fetch fill find finish fit
    flatten flush fold follow forget format free freeze gather generate get give group guide
    halve handle hash hide hold import inflate initialize insert interleave interpolate invert
    iterate join jump keep label leave let limit list load lock log look lower make map mark
    mask match measure merge mirror mix move multiply mutate name noise normalize note observe
    open order orthogonalize overlap overwrite pack pad paint parse pass paste pick pin place
    plan plot point pool post predict prepare print profile project publish pull put queue quit
    raise read rebuild receive reconcile record recover reduce refer refine refresh refuse
    register reject release reload remove rename render repeat replace report request require
    rescale reset reshape resize resolve restart restore resume return reverse rewrite rotate
    round run sample save say scale scan score search select send separate set shape shard share
    shift show shrink shuffle simulate skip slice smooth solve sort split spread stack start
    step stop store stream stylize sum summarize switch take tell test threshold time tokenize
    trace train transfer translate transpose trim truncate try turn undo unflatten unpack update
    upsample use verify wait walk warn weight widen wrap write yield zero
    """.split()  # noqa: SIM905 (a list of words reads better so)
)
# Words that begin a clause instead of naming the argument.
CLAUSES = frozenset(
    "of what where how see as whether its their in which that who when here".split()  # noqa: SIM905
)
ARGUMENT = re.compile(r"^ {2}[\w*, `]+: +(\w+)", re.MULTILINE)
SECTION = re.compile(r"^(?:Args|Attributes):\n((?:[ ]{2}.*\n?|\n(?=[ ]{2}))+)", re.MULTILINE)

# What was replaced, and by what.
REPLACED = {
    r"\bListening\b": "SamplingProgress",
    r"\bLISTENING\b": "TEXT_LAYERS",
    r"\bStepWeights\b": "StepCoefficients",
    r"_second_look\b": "_heun_correction",
    r"\bspoil(s|t|ed)?\b": "degrade",
    r"\bTelemetry\b": "MetricWriter",
    r"\b[A-Z]\w+Settings\b(?<!absl\.Settings)": "…Config",
    r"\blumiere_jax[./](cascade|stage|weights)\b": "sampling, checkpoints",
    r"\btraining[./](start|model|export|interruption|journal|telemetry|compile|batches)\b": "docs",
    r"\bmodels[./]start\b": "models.initializers",
    r"\bdata[./](prepare|embed_text|train_tokenizer)(?!\w)": "lumiere_jax.prepare, …",
    r"(?i)\bsaid aloud\b": "constrain explicitly",
    r"(?i)\bthe door to\b": "run …",
    r"(?i)\bPython face\b": "Python API",
    r"(?i)\bwho listens\b": "progress and preview callbacks",
    r"(?i)\bopinions?\b": "prediction",
    r"(?i)\bthe tricks\b": "denoiser wrappers",
    r"(?i)\bsecond look\b": "Heun correction",
    r"(?i)\bforgives\b": "skips errors",
    r"(?i)\bhears?\b": "responds to",
    r"(?i)(?<!there )\bis no (?!longer|more|larger|less|such)": "is not a …",
}
TEXT = {".py", ".md", ".sh", ".toml", ".yml"}


def check_docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, fault) of docstrings that break the rules.

    Args:
      source: Python source.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        text = ast.get_docstring(node) or ""
        line = node.body[0].lineno
        if text and not isinstance(node, ast.ClassDef):
            first = re.match(r"[\w-]*", text)[0]
            if first.lower() not in VERBS:
                yield line, f"{node.name}: the docstring begins with {first or text[:9]!r}, no verb"
        for section in SECTION.findall(text):
            for first in ARGUMENT.findall(section):
                if first.lower() in CLAUSES:
                    yield line, f"{node.name}: an argument is described by a clause: {first!r}"


def check_terms(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, fault) of terms that were replaced.

    Args:
      text: code or prose.
    """
    for pattern, better in REPLACED.items():
        for found in re.finditer(pattern, text):
            line = text.count("\n", 0, found.start()) + 1
            yield line, f"{found[0]!r} was replaced: {better}"


def check_file(path: pathlib.Path) -> list[str]:
    """Return the faults of a file as `file:line: fault`.

    Args:
      path: text file inside of the project.
    """
    name = path.resolve().relative_to(ROOT).as_posix()
    if name in HISTORY:
        return []
    text = path.read_text(encoding="utf-8")
    faults = list(check_terms(text))
    if path.suffix == ".py":
        faults += check_docstrings(text)
    return [f"{name}:{line}: {fault}" for line, fault in sorted(faults)]


def find_files(*places: str) -> list[pathlib.Path]:
    """Return the text files of the project, or those at some places of it.

    Args:
      *places: files and folders; the whole project when empty.
    """
    found: list[pathlib.Path] = []
    for place in map(ROOT.joinpath, places or (*FOLDERS, *(p.name for p in ROOT.glob("*.md")))):
        found += [place] if place.is_file() else place.rglob("*")
    return sorted(path for path in found if path.suffix in TEXT and path.is_file())


if __name__ == "__main__":
    faults = [fault for path in find_files(*sys.argv[1:]) for fault in check_file(path)]
    print("\n".join(faults))
    sys.exit(f"{len(faults)} faults" if faults else 0)
