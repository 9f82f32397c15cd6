"""Experiments to train: one file for each family of models."""
