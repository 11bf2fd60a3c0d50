"""Grading of nodules by a multimodal graph of typical cases (US 2025/0255568 A1)."""
