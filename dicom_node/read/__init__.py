"""Stored instances in; typed, geometry-checked values out."""
