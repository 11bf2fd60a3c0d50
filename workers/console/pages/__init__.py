"""Pages: one module for each, with its router; `workers.console.app` puts them in."""
