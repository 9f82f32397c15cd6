r"""Trains a stage of Lumiere, or continues it where it stopped.

python -m lumiere_jax.train --config=configs/demo.py:base --workdir=runs/demo \
    --config.train.steps=500

Every setting is a flag. The stage is kept in `<workdir>/<stage>`; the same command continues it.
Exit codes: 0 finished; 1 an error, in one line; 75 stopped by a signal after a checkpoint.
"""

from __future__ import annotations

import sys

from absl import app, flags, logging
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "What to train, such as configs/demo.py:base"
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; each stage has its own inside.")
DISTRIBUTED = flags.DEFINE_bool(
    "distributed", None, "Join other processes; by default if the environment names them."
)


def main(_: list[str]) -> None:
    """Flags in, one call, exit code out."""
    from lumiere_jax.one_line_errors import one_line_errors
    from lumiere_jax.parallel import start_processes, use_compilation_cache
    from lumiere_jax.training.command_line import to_experiment
    from lumiere_jax.training.interruption import Interruption
    from lumiere_jax.training.journal import TrainingDiverged
    from lumiere_jax.training.loop import train

    if not any(argument.startswith(("--verbosity", "-v", "--v")) for argument in sys.argv):
        logging.set_verbosity(logging.WARNING)  # Orbax tells a story at every save
    with one_line_errors(TrainingDiverged):
        for name in ("config", "workdir"):
            if flags.FLAGS[name].value is None:
                raise ValueError(f"--{name} is missing; see python -m lumiere_jax.train --help")
        start_processes(DISTRIBUTED.value)
        use_compilation_cache()
        signal = train(to_experiment(CONFIG.value), WORKDIR.value)
    if signal:
        sys.exit(Interruption.EXIT_CODE)


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parsing, with an unknown setting answered in one line instead of a traceback."""
    from lumiere_jax.training.command_line import explain_flags

    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is not None:
            CONFIG.value.to_dict()  # a file that could not be read answers only now
        return rest
    except (AttributeError, KeyError, TypeError, ValueError, OSError, flags.Error) as error:
        sys.exit(f"error: {explain_flags(argv, error)}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
