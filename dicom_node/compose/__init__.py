"""Report content in; final DICOM bytes out."""
