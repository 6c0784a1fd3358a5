"""The smallest picture and the smallest sound, and a text, for whatever wants content of a kind."""

from __future__ import annotations

import base64
import io
import wave

from mcp_types import AudioContent, EmbeddedResource, ImageContent, TextContent, TextResourceContents

RED_PIXEL_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)


def text(words: str) -> TextContent:
    """Words."""
    return TextContent(type="text", text=words)


def image() -> ImageContent:
    """One red pixel."""
    return ImageContent(type="image", data=base64.b64encode(RED_PIXEL_PNG).decode(), mime_type="image/png")


def audio() -> AudioContent:
    """A hundredth of a second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 80)
    return AudioContent(type="audio", data=base64.b64encode(file.getvalue()).decode(), mime_type="audio/wav")


def resource(uri: str, mime_type: str, words: str) -> EmbeddedResource:
    """A resource within a result."""
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=words))
