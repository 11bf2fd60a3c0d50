"""DICOM audit messages: what they say (PS3.15 A.5) and how they travel (A.6, A.7)."""
