"""Feed damaged files to every reader: `make fuzz`, or `python -m tests.fuzz --mutants=100`.

Each mutant is read in a child process with a limit on time and memory. The reader may accept or
refuse it; anything else is a fault, which is printed, and its files are kept.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from tests.fuzz.children import Child, Outcome
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS, Target


def main() -> None:
    """Parse the arguments, run, print a table; exit with 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=2000, help="mutants of each reader's files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--only", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--keep", default="runs/fuzz", help="folder for files that show a fault")
    options = parser.parse_args()
    begun = time.monotonic()
    work = [(name, options.mutants, options.seed, options.keep) for name in options.only]
    faults = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, counts, shown in pool.map(lambda task: fuzz(*task), work):
            print(
                f"{name:14} accepted {counts['accepted']:6}  refused {counts['refused']:6}  "
                f"anything else {counts['other']:4}",
                flush=True,
            )
            for place, outcome in shown:
                print(f"  {place}\n{outcome.detail.strip()}")
            faults += counts["other"]
    print(f"{sum(task[1] for task in work)} mutants in {time.monotonic() - begun:.0f} s")
    sys.exit(1 if faults else 0)


def fuzz(
    name: str, mutants: int, seed: int, keep: str
) -> tuple[str, collections.Counter, list[tuple[pathlib.Path, Outcome]]]:
    """Read `mutants` mutants of a target's files; return the counts and the first faults."""
    target, child = TARGETS[name], Child()
    counts: collections.Counter = collections.Counter()
    shown: list[tuple[pathlib.Path, Outcome]] = []
    with tempfile.TemporaryDirectory() as place:
        good, bad = pathlib.Path(place) / "good", pathlib.Path(place) / "bad"
        good.mkdir()
        target.make(good)
        outcome = child.read(name, str(good))
        if outcome.kind != "accepted":
            counts["other"] += 1
            shown.append((good, Outcome("other", f"a good file: {outcome.detail}")))
        for number in range(mutants):
            damage(target, good, bad, random.Random(f"{seed} {name} {number}"))
            outcome = child.read(name, str(bad))
            if target.survives and outcome.kind == "refused":
                outcome = Outcome(
                    "other", f"refused, although it can be repaired: {outcome.detail}"
                )
            counts[outcome.kind] += 1
            if outcome.kind == "other" and len(shown) < 3:
                kept = pathlib.Path(keep) / f"{name}-{seed}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(bad, kept)
                shown.append((kept, outcome))
    child.close()
    return name, counts, shown


def damage(target: Target, good: pathlib.Path, bad: pathlib.Path, rng: random.Random) -> None:
    """Make `bad` a copy of `good` with one of the files damaged."""
    shutil.rmtree(bad, ignore_errors=True)
    shutil.copytree(good, bad)
    files = sorted(path for path in bad.glob(target.damaged) if path.is_file())
    path = rng.choice(files)
    path.write_bytes(mutate(path.read_bytes(), rng))


if __name__ == "__main__":
    main()
