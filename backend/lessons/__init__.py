"""Guided lessons: prepared runs, what to look at in them, and a question about it."""
