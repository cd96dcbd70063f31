"""Evaluates a run on a split: metrics, comparison with trivial answers, report."""
