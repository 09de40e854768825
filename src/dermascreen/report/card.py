"""The model card: the page's numbers in Markdown, with what the model is for and what nobody has checked."""

from collections.abc import Mapping
from typing import Any

from dermascreen.report.reproduction import Reproduction
from dermascreen.report.wording import environment, shared

TEMPLATE = "card.md.jinja"


def render_card(metrics: Mapping[str, Mapping[str, Any]], reproduction: Reproduction, *, kaggles: bool) -> str:
    """The card as Markdown; the same arguments give the same text.

    Parameters: as for `page.render`. Raises jinja2.UndefinedError if a metric is missing.
    """
    template = environment(autoescape=False).get_template(TEMPLATE)
    return template.render(**shared(metrics, reproduction.params, kaggles), reproduction=reproduction)
