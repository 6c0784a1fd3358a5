"""Gradio's variables, told in the page's own: `look/ground.css` has the colours, of which there are two sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_LOOK = Path(__file__).with_name("look")

STYLES = [_LOOK / name for name in ("ground.css", "gradio.css", "panels.css", "charts.css", "title.css", "watch.css")]

_VARIABLES = {
    "body_background_fill": "transparent",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--soft)",
    "background_fill_primary": "var(--solid)",
    "background_fill_secondary": "var(--inset)",
    "border_color_accent": "var(--accent)",
    "border_color_accent_subdued": "var(--accent)",
    "border_color_primary": "var(--rule)",
    "color_accent": "var(--accent)",
    "color_accent_soft": "var(--inset)",
    "link_text_color": "var(--accent)",
    "link_text_color_active": "var(--accent)",
    "link_text_color_hover": "var(--accent)",
    "link_text_color_visited": "var(--accent)",
    "code_background_fill": "var(--inset)",
    "block_background_fill": "transparent",
    "block_border_color": "transparent",
    "block_border_width": "0px",
    "block_info_text_color": "var(--soft)",
    "block_label_background_fill": "transparent",
    "block_label_border_width": "0px",
    "block_label_text_color": "var(--soft)",
    "block_title_background_fill": "transparent",
    "block_title_border_width": "0px",
    "block_title_text_color": "var(--ink)",
    "block_title_text_weight": "600",
    "block_padding": "0px",
    "block_radius": "14px",
    "block_shadow": "none",
    "panel_background_fill": "transparent",
    "panel_border_width": "0px",
    "layout_gap": "16px",
    "form_gap_width": "12px",
    "accordion_text_color": "var(--ink)",
    "table_text_color": "var(--ink)",
    "table_border_color": "var(--rule)",
    "table_even_background_fill": "transparent",
    "table_odd_background_fill": "transparent",
    "table_row_focus": "var(--inset)",
    "checkbox_background_color": "var(--inset)",
    "checkbox_background_color_focus": "var(--inset)",
    "checkbox_background_color_hover": "var(--inset)",
    "checkbox_background_color_selected": "var(--accent)",
    "checkbox_border_color": "var(--field)",
    "checkbox_border_color_focus": "var(--accent)",
    "checkbox_border_color_hover": "var(--accent)",
    "checkbox_border_color_selected": "var(--accent)",
    "checkbox_label_background_fill": "var(--inset)",
    "checkbox_label_background_fill_hover": "var(--inset)",
    "checkbox_label_background_fill_selected": "var(--inset)",
    "checkbox_label_border_color": "var(--rule)",
    "checkbox_label_border_color_hover": "var(--accent)",
    "checkbox_label_border_color_selected": "var(--accent)",
    "checkbox_label_text_color": "var(--ink)",
    "checkbox_label_text_color_selected": "var(--ink)",
    "error_background_fill": "var(--inset)",
    "error_border_color": "var(--bad)",
    "error_text_color": "var(--bad)",
    "error_icon_color": "var(--bad)",
    "input_background_fill": "var(--inset)",
    "input_background_fill_focus": "var(--inset)",
    "input_background_fill_hover": "var(--inset)",
    "input_border_color": "var(--field)",
    "input_border_color_focus": "var(--accent)",
    "input_border_color_hover": "var(--accent)",
    "input_border_width": "1px",
    "input_placeholder_color": "var(--soft)",
    "input_radius": "12px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "loader_color": "var(--accent)",
    "slider_color": "var(--accent)",
    "stat_background_fill": "var(--accent)",
    "shadow_drop": "none",
    "shadow_inset": "none",
    "button_border_width": "1px",
    "button_large_radius": "12px",
    "button_medium_radius": "12px",
    "button_small_radius": "12px",
    "button_primary_background_fill": "var(--accent)",
    "button_primary_background_fill_hover": "color-mix(in srgb, var(--accent) 86%, var(--ink))",
    "button_primary_border_color": "var(--accent)",
    "button_primary_border_color_hover": "var(--accent)",
    "button_primary_text_color": "var(--on-accent)",
    "button_primary_text_color_hover": "var(--on-accent)",
    "button_secondary_background_fill": "var(--inset)",
    "button_secondary_background_fill_hover": "var(--inset)",
    "button_secondary_border_color": "var(--field)",
    "button_secondary_border_color_hover": "var(--accent)",
    "button_secondary_text_color": "var(--ink)",
    "button_secondary_text_color_hover": "var(--ink)",
    "button_cancel_background_fill": "var(--inset)",
    "button_cancel_background_fill_hover": "var(--inset)",
    "button_cancel_border_color": "var(--bad)",
    "button_cancel_border_color_hover": "var(--bad)",
    "button_cancel_text_color": "var(--bad)",
    "button_cancel_text_color_hover": "var(--bad)",
}


def theme() -> Any:
    """Gradio's plainest theme in the page's colours and the system's fonts: no font is fetched from anywhere."""
    plainest = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    known = set(plainest.set.__code__.co_varnames)
    dark = {f"{name}_dark": value for name, value in _VARIABLES.items() if f"{name}_dark" in known}
    return plainest.set(**_VARIABLES, **dark)


def head() -> str:
    """What the page's head gets: its script, which finds Plotly where the page says that it is."""
    from dashboard.charts.plotly_script import script_path

    script = (_LOOK / "page.js").read_text(encoding="utf-8")
    return (
        f'<meta name="plotly" content="{script_path()}"><meta name="color-scheme" content="light dark">'
        f"<script>{script}</script>"
    )
