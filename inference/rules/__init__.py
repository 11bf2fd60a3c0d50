"""Guidelines and published risk models, one per module: pure functions of measured values.

They know of findings only. None needs a network, and none is a learned grade.
"""
