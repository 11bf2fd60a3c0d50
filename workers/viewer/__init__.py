"""What the result viewer shows: slices, outlines and the words beside them; no HTTP."""
