"""The model card: the page's numbers in Markdown, with what the model is for and what nobody has checked."""

from dermascreen.report.reproduction import Reproduction
from dermascreen.report.results import Results
from dermascreen.report.templates import environment, shared

TEMPLATE = "card.md.jinja"


def render_card(results: Results, reproduction: Reproduction, *, kaggles: bool) -> str:
    """The card as Markdown; the same arguments give the same text.

    Parameters: as for `page.render`.
    """
    template = environment(autoescape=False).get_template(TEMPLATE)
    return template.render(**shared(results, reproduction.params, kaggles), reproduction=reproduction)
