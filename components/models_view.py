"""The corner of the page where models are opened and put away."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from backend.settings import Settings
from components.html import Markup, tag

_EXPLAINED = {
    "none": "This server offers its own models only and keeps them loaded; its operator may allow more with --open-models.",
    "folders": "A folder on this machine with config.json and *.safetensors; no code in it is ever run. "
               "Hub ids are switched off here: the operator may allow them with --open-models hub.",
    "hub": "A folder on this machine, or the id of a hub repository such as owner/name, which is then downloaded. "
           "Only config.json, safetensors and the tokenizer are read; no code is ever run.",
}
_EXAMPLES = {"none": "", "folders": "/path/to/a/model", "hub": "/path/to/a/model or owner/name"}


@dataclass(frozen=True)
class ModelCorner:
    """Its inputs: what to open, the two buttons, and the line that says what became of it."""

    source: gr.Textbox
    open: gr.Button
    unload: gr.Button
    said: gr.HTML


def model_corner(settings: Settings) -> ModelCorner:
    """Draw the corner into the open layout; where nothing may be opened, the field says why."""
    allowed = settings.opening
    with gr.Accordion("Open or unload a model", open=False, elem_id="models"):
        with gr.Row(elem_id="models-row"):
            source = gr.Textbox(
                label="Folder or hub id" if allowed == "hub" else "Folder", info=_EXPLAINED[allowed], lines=1, max_lines=1,
                placeholder=_EXAMPLES[allowed], interactive=allowed != "none", elem_id="field-source", buttons=[],
            )
            opening = gr.Button("Open", elem_id="open-model", size="md", interactive=allowed != "none")
            unload = gr.Button("Unload the chosen model", elem_id="unload-model", size="md", interactive=allowed != "none")
        said = gr.HTML("", elem_id="model-said", apply_default_css=False)
    return ModelCorner(source, opening, unload, said)


def said(text: str, bad: bool = False) -> Markup:
    """Return what became of an attempt, as a line."""
    return tag("p", text, class_="said bad" if bad else "said", role="alert" if bad else "status") if text else Markup("")
