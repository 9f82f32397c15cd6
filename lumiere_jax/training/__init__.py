"""Training: state, step, loop, checkpoints, and the stages of a run."""
