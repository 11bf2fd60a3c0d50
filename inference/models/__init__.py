"""Networks, one per file, each with its configuration beside it."""
