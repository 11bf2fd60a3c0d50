"""The console: pages and HTTP API over the use cases; docs/console.md tells how to add to it."""
