r"""Trains a stage of Lumiere, or resumes it.

python -m lumiere_jax.train --config=configs/demo.py:base --workdir=runs/demo \
    --config.train.steps=500

Every setting is a flag. The work directory of the stage is `<workdir>/<stage>`; the same command
resumes it. Exit codes: 0 for finished; 1 for an error, printed in one line; 75 if a signal stopped
it after a checkpoint.
"""

from __future__ import annotations

import sys

from absl import flags, logging
from ml_collections import config_flags

from lumiere_jax.one_line_errors import REPORT, define_path, run

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration file and stage, such as configs/demo.py:base."
)
WORKDIR = define_path("workdir", None, "Folder of the run; each stage has a folder in it.")
DISTRIBUTED = flags.DEFINE_bool(
    "distributed", None, "Run with other processes; by default if the environment names them."
)


def main(_: list[str]) -> None:
    """Train the stage that the flags describe."""
    from lumiere_jax.parallel.processes import start_processes, use_compilation_cache
    from lumiere_jax.training.command_line import to_experiment
    from lumiere_jax.training.loop import train
    from lumiere_jax.training.metric_writer import TrainingDiverged
    from lumiere_jax.training.preemption import Preemption
    from lumiere_jax.video.new_file import check_output

    if not any(argument.startswith(("--verbosity", "-v", "--v")) for argument in sys.argv):
        logging.set_verbosity(logging.WARNING)  # Orbax logs many lines at every save
    for name in ("config", "workdir"):
        if flags.FLAGS[name].value is None:
            raise ValueError(f"--{name} is missing; see python -m lumiere_jax.train --help")
    experiment = to_experiment(CONFIG.value)
    check_output(WORKDIR.value, "--workdir")
    start_processes(DISTRIBUTED.value)
    use_compilation_cache()
    try:
        signal = train(experiment, WORKDIR.value)
    except TrainingDiverged as error:
        raise ValueError(str(error)) from None
    if signal:
        sys.exit(Preemption.EXIT_CODE)


def parse_flags(argv: list[str]) -> list[str]:
    """Parse the flags; a mistake in a flag or in the configuration file is reported in one line."""
    from lumiere_jax.training.command_line import explain_flags, with_home

    argv = with_home(argv)
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is not None:
            CONFIG.value.to_dict()  # raises the error of an unreadable file, which parsing delays
        return rest
    except Exception as error:  # a configuration file is a program: it may raise anything
        line = explain_flags(argv, error)
        if line is not None:
            sys.exit(f"error: {line}")
        error.add_note(REPORT)
        raise


if __name__ == "__main__":
    run(main, flags_parser=parse_flags)
