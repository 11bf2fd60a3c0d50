"""C-STORE in, durable files out, and when a series is complete."""
