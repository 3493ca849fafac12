"""Carriers: components that show nothing and hand values from Python to the browser's modules, and requests back."""

from __future__ import annotations

from typing import Any

import gradio as gr

# The modules may load later than a carrier: they drain the list and replace its ``push``.
_HAND_OVER = """
const carried = { get value() {
  const value = props.value;
  return typeof value === "string" && value ? JSON.parse(value) : value || null;
} };
(window.%s ??= []).push({ watch, props: carried, %s });
"""


class _Carrier(gr.HTML):
    """A component with a constant, empty template; its value is JSON text or None."""

    inbox = ""
    asks = ""
    """What the browser may ask of Python through this carrier, as JavaScript properties."""

    def __init__(self, value: str | None = None, **shared: Any) -> None:
        # The library builds a component anew, with arguments of its own, to hold a visitor's value.
        fixed = dict(
            value=value,
            html_template="<i hidden></i>",
            apply_default_css=False,
            js_on_load=_HAND_OVER % (self.inbox, self.asks),
            elem_classes=["carrier"],
        )
        super().__init__(**{**shared, **fixed})

    def postprocess(self, value: str | None) -> str | None:
        """Return the value as it is: nothing prints it, so a token that looks like markup is fine."""
        return value

    def api_info(self) -> dict[str, Any]:
        """Say that the value is text."""
        return {"type": "string"}


class Bridge(_Carrier):
    """Carries event batches to ``assets/app.js``, which reads ``props.value`` as an object."""

    inbox = "traceParts"
    asks = 'branch: (asked) => trigger("branch", asked), hold: (asked) => trigger("hold", asked)'


class Notices(_Carrier):
    """Carries what is wrong with a request to ``assets/problems.js``, which shows it at the fields."""

    inbox = "noticeParts"


class Opener(_Carrier):
    """Brings a request that was not typed (a link's, a lesson's) as event ``open``; carries the answer back."""

    inbox = "openerParts"
    asks = 'open: (asked) => trigger("open", asked)'


class Breaks(gr.HTML):
    """The place of Pause and Break at, which ``assets/hold.js`` draws; its value is the breakpoints as JSON text."""

    def __init__(self, value: str = "", **shared: Any) -> None:
        fixed = dict(
            value=value, html_template='<div class="hold"></div>', apply_default_css=False,
            js_on_load="(window.holdParts ??= []).push({ element, props });", elem_id="hold",
        )
        super().__init__(**{**shared, **fixed})

    def postprocess(self, value: str | None) -> str:
        """Return the value as it is: the template never prints it."""
        return value or ""

    def api_info(self) -> dict[str, Any]:
        """Say that the value is text."""
        return {"type": "string"}
