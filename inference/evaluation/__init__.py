"""Metrics and protocols: what measured the weights."""
