"""What the system does, one plain function per use case; no Celery here."""
