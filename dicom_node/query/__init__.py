"""Questions to a PACS about what it holds."""
