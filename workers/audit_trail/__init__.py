"""DICOM audit messages of this system: when they are made, where they wait, how they are sent."""
