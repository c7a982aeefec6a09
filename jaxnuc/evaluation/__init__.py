"""Scores of a trained network over a data set."""
