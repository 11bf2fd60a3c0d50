"""Simulated training data from real nodule shapes, losses and loops: what made the weights."""
