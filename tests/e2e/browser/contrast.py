"""Contrast as a person meets it: each text's colour against the pixels behind it, gradient and glass."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image
from playwright.sync_api import Page

# Every visible run of text with its colour, size and place. Disabled controls are exempt (WCAG 2.2, 1.4.3).
_TEXTS = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest(':disabled, .unseen, .skip, noscript, option')) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const style = getComputedStyle(element);
    const frame = element.getBoundingClientRect();
    for (const whole of range.getClientRects()) {
      const cut = style.overflowX !== 'visible'; // what is cut off is not seen
      const left = cut ? Math.max(whole.x, frame.x) : whole.x;
      const right = cut ? Math.min(whole.right, frame.right) : whole.right;
      const box = new DOMRect(left, whole.y, right - left, whole.height);
      const under = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      if (box.width > 2 && under && (under === element || under.contains(element) || element.contains(under))) {
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        found.push({ text: walker.currentNode.data.trim(), large,
                     colour: element instanceof SVGElement ? style.fill : style.color,
                     box: [box.x, box.y, box.right, box.bottom].map(Math.round) });
      }
    }
  }
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  return found.map((one) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = one.colour;
    canvas.fillRect(0, 0, 1, 1);
    return { ...one, colour: [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3) };
  });
}"""
# It has to outweigh rules of the page that are important as well.
_WITHOUT_TEXT = """:not(#_#_#_) {
  color: transparent !important; transition: none !important; animation: none !important
}
text:not(#_#_#_), tspan:not(#_#_#_) { fill: transparent !important }"""


def too_faint(page: Page) -> tuple[int, list[str]]:
    """How many runs of text the window shows, and those whose contrast with the worst pixel behind them is below AA."""
    texts: list[dict[str, Any]] = page.evaluate(_TEXTS)
    # A constructed sheet, since the page's policy forbids inline ones.
    page.evaluate(
        "css => { const sheet = new CSSStyleSheet(); sheet.replaceSync(css); document.adoptedStyleSheets.push(sheet) }",
        _WITHOUT_TEXT,
    )
    with Image.open(io.BytesIO(_shot(page))) as shot:
        ground = shot.convert("RGB")
    page.evaluate("document.adoptedStyleSheets.pop()")
    faint = []
    for text in texts:
        left, top, right, bottom = text["box"]
        piece = ground.crop((max(0, left), max(0, top), min(ground.width, right), min(ground.height, bottom)))
        colours = piece.getcolors(piece.width * piece.height) or []
        common = [
            colour for count, colour in colours if count * 200 >= piece.width * piece.height or len(colours) > 200
        ]
        ratios = [ratio(text["colour"], colour) for colour in common if isinstance(colour, tuple)]
        if ratios and min(ratios) < (3.0 if text["large"] else 4.5):
            faint.append(f"{text['text'][:40]!r}: {min(ratios):.2f}")
    return len(texts), faint


def _shot(page: Page) -> bytes:
    """The window's pixels, in a PNG that is packed for speed."""
    line = page.context.new_cdp_session(page)
    shot = base64.b64decode(line.send("Page.captureScreenshot", {"optimizeForSpeed": True})["data"])
    line.detach()
    return shot


def ratio(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[int, ...]) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour[:3])]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
