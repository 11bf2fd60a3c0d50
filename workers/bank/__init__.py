"""The site's typical-case bank: its versions, its candidates, and who changed what and why."""
