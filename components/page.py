"""The layout of the page, and which listener answers which input; nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.decoders.catalogue import DECODERS
from backend.engine import Engine
from backend.models.catalogue import ModelCard
from backend.settings import Settings
from components.bridge import Breaks, Bridge, Notices, Opener
from components.controls import Control, Menu, Number, draw
from components.examples import Chooser, Opening, described, opening_of, openings
from components.explain_routes import Desk as ExplainDesk
from components.handlers import Desk, group_classes
from components.html import Markup, tag
from components.models_view import ModelCorner, model_corner
from components.programs import ENDPOINTS, offer
from components.second import Second
from components.summary_view import decoder_line, model_line

TITLE = "Unmask"
TAGLINE = "Watch a masked diffusion language model decide, one token at a time."
STARTS = frozenset({"submit", "submit_branch", *ENDPOINTS})
"""The listeners that begin a run or an explanation, by name."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of a request, in the order in which the listener takes them."""

    prompt: gr.Textbox
    model: Menu
    decoder: Menu
    length: Number
    seed: Number
    template: gr.Textbox
    second: Second
    controls: tuple[Control, ...]

    def all(self) -> list[gr.components.Component]:
        """Return the inputs as one list."""
        settings = [control.widget for control in self.controls]
        return [self.prompt, self.model, self.decoder, self.length, self.seed, self.template, self.second, *settings]


def build(settings: Settings, engine: Engine, explaining: ExplainDesk) -> gr.Blocks:
    """Return the page of ``engine``, where ``explaining`` answers the programs; builds no model and imports none."""
    cards = engine.models()
    offered = openings({card.name for card in cards})
    first = opening_of(engine.start_model)
    with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as page:
        offer(engine, explaining, settings.max_running + settings.max_queued)  # first, so that the page's own listeners leave it the names
        status = _header(settings, engine.start_model)
        with gr.Column(elem_id="request", elem_classes=["band"]):
            prompt, chooser, hint = _prompt(offered, first)
            model, decoder, length, seed, run, stop, breaks = _bar(engine.start_model, cards, first)
            gr.HTML(_MORE, elem_id="more-line", apply_default_css=False)
            about = gr.HTML(decoder_line(DECODERS[0]), elem_id="about-decoder", apply_default_css=False)
            with gr.Row(elem_id="drawers"):
                groups, controls = _settings()
                template = _template()
                corner = model_corner(settings)
                second = Second()
        gr.HTML(tag("div", id="unmask"), elem_id="stage", apply_default_css=False)
        bridge, notices, opener = Bridge(), Notices(), Opener()
        inputs = Inputs(prompt, model, decoder, length, seed, template, second, controls)
        desk = Desk(engine, controls, offered)
        _wire_run(desk, inputs, run, stop, breaks, bridge, notices, settings)
        decoder.change(desk.choose_decoder, decoder, [about, *groups], **_QUIET)
        opened = opener.open(desk.open_link, None, [*inputs.all(), opener], trigger_mode="multiple", queue=False, **_QUIET)
        opened.then(None, opener, None, js="(answer) => window.unmask.answered(JSON.parse(answer))", **_QUIET)
        chooser.pick(desk.open_example, None, [prompt, model, length], **_QUIET)
        gr.on([prompt.change, model.change], described, [prompt, model], hint, trigger_mode="always_last", queue=False, **_QUIET)
        _wire_models(desk, page, inputs, status, corner, notices)
    return page.queue(max_size=None)


# A narrow window shows the prompt and the canvas; the rest of the request opens by this button.
_MORE = tag("button", "Model, decoder, settings", type="button", id="more", aria_expanded="false", aria_controls="request")

_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def _wire_run(
    desk: Desk, inputs: Inputs, run: gr.Button, stop: gr.Button, breaks: Breaks, bridge: Bridge, notices: Notices,
    settings: Settings,
) -> None:
    run_id = gr.State("")
    # Every run that the engine admits, lets stand or lets wait holds one stream; the engine refuses more.
    limit = 2 * settings.max_running + settings.max_queued
    begun = run.click(
        desk.press_run, [*inputs.all(), breaks], [run_id, notices, run, stop], concurrency_limit=limit, api_name="submit", **_QUIET)
    # Enter presses the button, which a run under way has disabled: no second run starts unseen behind it.
    inputs.prompt.submit(None, None, None, js="() => { document.querySelector('#run:not([disabled])')?.click(); }", **_QUIET)
    branched = bridge.branch(desk.branch, None, [run_id, notices, run, stop], concurrency_limit=limit, api_name="submit_branch", **_QUIET)
    for started in (begun, branched):
        streamed = started.then(desk.stream, run_id, bridge, concurrency_limit=limit, **_QUIET)
        streamed.then(desk.rest, run_id, [run, stop], queue=False, **_QUIET)
    bridge.hold(desk.hold, run_id, None, queue=False, trigger_mode="multiple", **_QUIET)
    stop.click(desk.stop, run_id, None, queue=False, **_QUIET)


def _wire_models(
    desk: Desk, page: gr.Blocks, inputs: Inputs, status: gr.HTML, corner: ModelCorner, notices: Notices
) -> None:
    free: dict[str, Any] = {"concurrency_limit": None, **_QUIET}
    page.load(desk.menu, None, inputs.model, **free)
    page.load(desk.load, inputs.model, status, **free)
    changed = inputs.model.change(desk.load, inputs.model, status, **free)
    changed.then(desk.review, inputs.all(), notices, **free)
    gr.on([corner.open.click, corner.source.submit], desk.open_model, corner.source, [inputs.model, corner.said], **free)
    corner.unload.click(desk.unload, inputs.model, [status, corner.said], **free)


def _header(settings: Settings, model: str) -> gr.HTML:
    with gr.Row(elem_id="masthead"):
        gr.HTML(
            tag("header", tag("h1", TITLE), tag("p", TAGLINE)),
            elem_id="wordmark", apply_default_css=False,
        )
        status = gr.HTML(model_line(model, "loading"), elem_id="model-status", apply_default_css=False)
        gr.HTML(_tools(settings.root_path), elem_id="tools", apply_default_css=False)
    return status


def _tools(root_path: str) -> Markup:
    return tag(
        "nav",
        tag("button", "Lessons", type="button", id="lessons-open", title="Guided lessons, a few minutes each"),
        *(tag("a", words, href=f"{root_path}/{page}", target="_blank", rel="noopener")
          for words, page in (("Decoders", "decoders"), ("Many runs", "many"), ("Help", "help"))),
        tag("button", tag("span", "Dark", class_="to-dark"), tag("span", "Light", class_="to-light"), type="button",
            id="theme-toggle", title="Switch between light and dark"),
        aria_label="Page",
    )


def _prompt(offered: Sequence[Opening], first: Opening | None) -> tuple[gr.Textbox, Chooser, gr.HTML]:
    with gr.Row(elem_id="prompt-row"):
        prompt = gr.Textbox(
            value=first.prompt if first else "", label="Prompt", lines=1, max_lines=6,
            placeholder="What the model answers to; or token ids, as in ids: 1, 2, 3", elem_id="field-prompt", scale=1, buttons=[],
        )
        chooser = Chooser(offered)
    hint = gr.HTML(first.hint if first else "", elem_id="task-help", apply_default_css=False)
    return prompt, chooser, hint


def _bar(
    start_model: str, cards: Sequence[ModelCard], first: Opening | None
) -> tuple[Menu, Menu, Number, Number, gr.Button, gr.Button, Breaks]:
    methods = [(f"{item.title} · {item.mark}", item.name) for item in DECODERS]
    with gr.Row(elem_id="bar"):
        model = Menu(
            [(card.title, card.name) for card in cards], value=start_model, label="Model",
            filterable=False, elem_id="field-model", interactive=True,
        )
        decoder = Menu(
            methods, value=DECODERS[0].name, label="Decoder", filterable=False,
            elem_id="field-decoder", interactive=True,
        )
        length = Number(
            str(first.task.length if first else 64), label="Answer length", max_lines=1,
            elem_id="field-length", buttons=[],
        )
        seed = Number("0", label="Seed", max_lines=1, elem_id="field-seed", buttons=[])
        run = gr.Button("Run", variant="primary", elem_id="run", size="md")
        stop = gr.Button("Stop", elem_id="stop", size="md", interactive=False)
        breaks = Breaks()
    return model, decoder, length, seed, run, stop, breaks


def _template() -> gr.Textbox:
    """Draw the answer's template: words that are given, with blanks between them."""
    with gr.Accordion("Fixed words in the answer", open=False, elem_id="template"):
        with gr.Row(elem_id="template-row"):
            template = gr.Textbox(
                label="Answer with blanks", lines=1, max_lines=4, elem_id="field-template", buttons=[],
                info="▢ or `_` is one masked place, `_{12}` twelve. The words between are locked; the answer is as long as this.",
                placeholder="The ▢▢▢ sea; empty: every place is masked",
            )
            blank = gr.Button("▢ Blank", elem_id="blank", size="md")
    blank.click(None, None, None, js=_PUT_BLANK, **_QUIET)
    return template


# At the cursor, as if it had been typed.
_PUT_BLANK = """() => {
  const entry = document.querySelector("#field-template :is(textarea, input)");
  entry.setRangeText("\u25a2", entry.selectionStart, entry.selectionEnd, "end");
  entry.dispatchEvent(new Event("input", { bubbles: true }));
  entry.focus();
}"""


def _settings() -> tuple[list[gr.Row], tuple[Control, ...]]:
    groups: list[gr.Row] = []
    controls: list[Control] = []
    with gr.Accordion("Settings of this decoder", open=False, elem_id="settings"):
        for number, decoder in enumerate(DECODERS):
            with gr.Row(elem_classes=group_classes(number == 0)) as group:
                controls.extend(draw(decoder))
            groups.append(group)
    return groups, tuple(controls)

