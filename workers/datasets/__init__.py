"""Annotated CT from outside: one module per format, one type (`AnnotatedScan`) for all of them."""
