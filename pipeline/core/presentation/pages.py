"""Web pages of one file: no server, no network; text from data is never markup.

A template lies beside the module that fills it; a page's extends ``pages.html``. Jinja escapes
whatever is put into a page; data for a script goes through ``tojson``, which escapes ``<`` too. The
page itself forbids the browser to load anything (Content-Security-Policy).
"""

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from pipeline.core.files import write_text


def write_page(path: Path, template: Path, **values: Any) -> None:
    """Fill a template and write the page, whole or not at all."""
    write_text(path, fill(template, **values))


def fill(template: Path, **values: Any) -> str:
    """The text of a template; in HTML, and there alone, values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent, template.parent]),
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**values)


def data_uri(image: np.ndarray, quality: int = 80) -> str:
    """An image (H, W, 3) uint8 RGB as a JPEG in a data: URI."""
    _, encoded = cv2.imencode(
        ".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
