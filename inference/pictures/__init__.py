"""Pictures of nodules for people: arrays and findings in, 8-bit colour out.

`view` cuts planes, `tile` draws one, `key_image` puts a nodule's tiles on one sheet. Words come
from the caller in whatever language; nothing here knows DICOM or writes files.
"""
