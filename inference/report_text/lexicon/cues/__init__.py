"""Patterns as data, one table per module."""
