"""A nodule at an earlier examination: registration of the lungs, matching, change."""
