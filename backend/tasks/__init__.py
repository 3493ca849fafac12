"""Checkable tasks: prompts that the embedded models were trained on, and programs that judge the answers."""
