"""DICOM bytes out to a peer, and the proof that they arrived."""
