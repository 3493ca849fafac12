"""The chat template of an instruct model: a visitor's words as the turn the model was trained on.

Templates are programs in the Jinja language that come with the folder. They are rendered by
transformers in Jinja's immutable sandbox: no files, no attributes of Python objects, bounded ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.errors import ModelError


@dataclass(frozen=True)
class ChatTemplate:
    """A template, and the special tokens that it may name."""

    source: str
    tokens: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, tokenizer_config: Mapping[str, Any]) -> ChatTemplate | None:
        """Return the template of a folder: of its own file, else of tokenizer_config.json, else None."""
        tokens = {name: text for name in ("bos_token", "eos_token", "mask_token", "pad_token", "cls_token", "sep_token")
                  if (text := token_text(tokenizer_config.get(name))) is not None}
        file = folder / "chat_template.jinja"
        if file.is_file():
            return cls(_text(file), tokens)
        source = tokenizer_config.get("chat_template")
        if isinstance(source, list):  # several by name
            named = {item.get("name"): item.get("template") for item in source if isinstance(item, dict)}
            source = named.get("default")
        return cls(source, tokens) if isinstance(source, str) and source.strip() else None

    def applied(self, text: str) -> str:
        """Return ``text`` as a user's turn, followed by the opening of the model's.

        Raises ``ModelError`` when the template fails.
        """
        from transformers.utils.chat_template_utils import render_jinja_template  # slow to import

        turns = [{"role": "user", "content": text}]
        try:
            rendered, _ = render_jinja_template([turns], chat_template=self.source, add_generation_prompt=True,
                                                **self.tokens)
        except Exception as error:  # a template is a program of the folder's: it may fail in any way
            raise ModelError(f"The model's chat template failed ({type(error).__name__}: {error}).",
                             "Switch the chat template off and write the whole prompt yourself.") from error
        return rendered[0]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read as text ({error}).", "Copy the file again from the model's source.") from error


def token_text(value: Any) -> str | None:
    """Return the text of a special token as tokenizer files write it: a string, or an object with content."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None
