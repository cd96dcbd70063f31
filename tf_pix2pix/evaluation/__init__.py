"""Evaluation: how good the generated images of a run are."""
