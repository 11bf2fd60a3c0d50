"""Figures for Prometheus: what each process counts, what the database says of the site."""
