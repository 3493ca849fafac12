"""The look of the UI library's own inputs, in the colours of ``assets/style.css``.

Literal values, because the first paint comes before any style sheet of ours.
"""

from __future__ import annotations

import gradio as gr

_LIGHT = {
    "paper": "#FBFAF7", "surface": "#FFFFFF", "ink": "#1B1C20", "muted": "#5A5E66",
    "line": "#8A8D93", "hair": "#DEDCD6", "accent": "#0B5FA5", "on_accent": "#FFFFFF",
    "accent_hover": "#094F8A", "bad": "#A61B1B",
}
_DARK = {
    "paper": "#111316", "surface": "#191C20", "ink": "#ECEDEF", "muted": "#A6ABB3",
    "line": "#747A83", "hair": "#2C3036", "accent": "#77B7F0", "on_accent": "#111316",
    "accent_hover": "#9CCBF5", "bad": "#FF9A93",
}
_COLOURS = {
    "body_background_fill": "paper",
    "body_text_color": "ink",
    "body_text_color_subdued": "muted",
    "background_fill_primary": "surface",
    "background_fill_secondary": "paper",
    "border_color_primary": "hair",
    "border_color_accent": "accent",
    "block_background_fill": "paper",
    "block_border_color": "hair",
    "block_info_text_color": "muted",
    "block_label_text_color": "muted",
    "block_title_text_color": "muted",
    "panel_background_fill": "paper",
    "accordion_text_color": "ink",
    "link_text_color": "accent",
    "link_text_color_hover": "accent_hover",
    "link_text_color_active": "accent",
    "link_text_color_visited": "accent",
    "input_background_fill": "surface",
    "input_background_fill_focus": "surface",
    "input_background_fill_hover": "surface",
    "input_border_color": "line",
    "input_border_color_focus": "accent",
    "input_border_color_hover": "ink",
    "input_placeholder_color": "muted",
    "checkbox_background_color": "surface",
    "checkbox_background_color_selected": "accent",
    "checkbox_border_color": "line",
    "checkbox_border_color_selected": "accent",
    "checkbox_label_background_fill": "paper",
    "checkbox_label_background_fill_hover": "paper",
    "checkbox_label_background_fill_selected": "paper",
    "checkbox_label_text_color": "ink",
    "checkbox_label_text_color_selected": "ink",
    "error_text_color": "bad",
    "loader_color": "accent",
    "slider_color": "accent",
    "button_primary_background_fill": "accent",
    "button_primary_background_fill_hover": "accent_hover",
    "button_primary_border_color": "accent",
    "button_primary_border_color_hover": "accent_hover",
    "button_primary_text_color": "on_accent",
    "button_primary_text_color_hover": "on_accent",
    "button_secondary_background_fill": "surface",
    "button_secondary_background_fill_hover": "surface",
    "button_secondary_border_color": "line",
    "button_secondary_border_color_hover": "ink",
    "button_secondary_text_color": "ink",
    "button_secondary_text_color_hover": "ink",
}
_SHAPES = {
    "body_text_size": "14px",
    "block_border_width": "0px",
    "block_padding": "0",
    "block_radius": "0",
    "block_shadow": "none",
    "block_label_shadow": "none",
    "block_title_text_size": "12px",
    "block_title_text_weight": "400",
    "block_title_background_fill": "none",
    "block_title_padding": "0",
    "block_info_text_size": "12px",
    "block_label_text_size": "12px",
    "container_radius": "4px",
    "form_gap_width": "0px",
    "layout_gap": "12px",
    "panel_border_width": "0",
    "input_border_width": "1px",
    "input_padding": "6px 10px",
    "input_radius": "4px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "input_text_size": "14px",
    "checkbox_label_padding": "0",
    "checkbox_label_shadow": "none",
    "button_border_width": "1px",
    "button_medium_padding": "0 16px",
    "button_medium_radius": "4px",
    "button_medium_text_size": "14px",
    "button_medium_text_weight": "600",
    "button_primary_shadow": "none",
    "button_secondary_shadow": "none",
    "button_transition": "none",
    "button_transform_hover": "none",
    "button_transform_active": "none",
}


def theme() -> gr.themes.Base:
    """Return the theme: paper and ink, IBM Plex from the library's own files, no shadow.

    Weights 400 and 700: the library's files of weight 600 hold no Latin capitals and digits.
    """
    colours = {name: _LIGHT[token] for name, token in _COLOURS.items()}
    dark = {f"{name}_dark": _DARK[token] for name, token in _COLOURS.items()}
    local = gr.themes.utils.fonts.LocalFont
    return gr.themes.Base(
        text_size="sm", spacing_size="sm", radius_size="sm",
        font=[local("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=[local("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "Consolas", "monospace"],
    ).set(
        **colours, **dark, **_SHAPES
    )
