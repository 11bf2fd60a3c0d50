"""What radiologists say of our nodules: told from reports, offered to the bank, exported."""
