"""The hospital's side of Pulmonode: everything that is DICOM.

Receives instances, reads series into geometry-checked values, composes SR and SEG,
delivers them and proves their arrival. Holds no torch, no queue and no database.
"""
