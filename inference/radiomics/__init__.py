"""Radiomics of a nodule: one fixed row of numbers for the key slice, one for the whole volume.

``table`` fixes names and settings, ``grid`` brings a nodule onto the grid of the settings,
``first_order``, ``shape`` and ``texture`` compute, ``extract`` is what other packages call.
"""
