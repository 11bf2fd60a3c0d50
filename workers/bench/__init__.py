"""Benchmarks: what `make bench-...` measures, each run in a fresh process."""
