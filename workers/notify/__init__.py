"""Alarms told to people outside: what is said, how it is sent, and what is still to be told."""
