"""What a radiologist's report, request or letter says of nodules and history, with its place."""
