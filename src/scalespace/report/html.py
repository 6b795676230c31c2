"""Pictures as elements of a page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from markupsafe import Markup
from PIL import Image

from scalespace.figures.album import Album
from scalespace.figures.picture import DARK, LIGHT, Picture, Spots


def image(picture: Picture, album: Album) -> Markup:
    """The <picture> element of a picture, in both themes where they differ, and its spots."""
    drawing = picture.drawing
    dark = Markup("")
    if drawing.themed:
        dark = Markup(
            '<source srcset="{}" media="screen and (prefers-color-scheme: dark)">'
        ).format(uri(album.png(picture, DARK)))
    height = round(drawing.size[1] / drawing.size[0] * picture.css_width)
    element = Markup('<picture>{}<img src="{}" alt="{}" width="{}" height="{}"></picture>').format(
        dark, uri(album.png(picture, LIGHT)), picture.alt, picture.css_width, height
    )
    if not drawing.spots:
        return element
    name = f"{picture.title}: seed, index and label of each image"
    return Markup('<span class="spotted">{}{}</span>').format(element, spots(drawing.spots, name))


def spots(every: Sequence[Spots], name: str) -> Markup:
    """Elements over a picture that tell what a pointer, or the arrow keys, are on.

    Args:
        every: the grids of a picture.
        name: what they are, for a screen reader.
    """
    return Markup("").join(
        Markup(
            '<span class="spots" role="group" tabindex="0" aria-label="{}" '
            'style="left:{}%;top:{}%;width:{}%;height:{}%;--columns:{}">{}</span>'
        ).format(
            name,
            *(f"{100 * share:.3f}" for share in one.box),
            one.columns,
            Markup("").join(
                Markup('<i role="img" title="{}"></i>').format(told) if told else Markup("<i></i>")
                for told in one.told
            ),
        )
        for one in every
    )


def png_uri(picture: Image.Image) -> str:
    """A Pillow image as a data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return uri(buffer.getvalue())


def uri(png: bytes) -> str:
    """A PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
