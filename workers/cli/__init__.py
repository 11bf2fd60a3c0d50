"""The command `pulmonode` (Typer + Rich)."""
