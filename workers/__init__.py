"""Joins `dicom_node` and `inference`: state database, use cases, Celery tasks and the CLI."""
