"""Terms as data: one table per language, and one of headings."""
