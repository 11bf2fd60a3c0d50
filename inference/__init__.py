"""Arrays in, findings out: lungs, candidates, nodules, measurements, guidelines.

Knows nothing of DICOM objects, queues, databases or the environment. The package shares
its top-level name with an unrelated project on PyPI (`inference`); do not install both.
"""
