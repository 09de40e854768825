"""The model card: the page's numbers in Markdown, with what the model is for and what nobody has checked."""

from collections.abc import Mapping
from typing import NamedTuple

from dermascreen.artifacts.model.description import Start
from dermascreen.report.reproduction import Reproduction
from dermascreen.report.results import Results
from dermascreen.report.templates import environment, shared

TEMPLATE, REGISTRATION = "card.md.jinja", "registration.md.jinja"


class Registration(NamedTuple):
    """What the card of a registered model says in addition."""

    looks: str  # how often its test set was looked at, in a sentence
    signature: str  # with which key its files were signed, in a sentence
    code: str  # the licence of the code
    start: Start  # the weights that training started from
    photographs: str  # whose they are, in sentences
    licences: Mapping[str, int]  # the number of photographs under each, where a table tells it
    bill: str  # the file of the bill of materials


def render_card(results: Results, reproduction: Reproduction, *, kaggles: bool) -> str:
    """The card as Markdown; the same arguments give the same text.

    Parameters: as for `page.render`.
    """
    template = environment(autoescape=False).get_template(TEMPLATE)
    return template.render(**shared(results, reproduction.params, kaggles), reproduction=reproduction)


def render_registration(registration: Registration) -> str:
    """What follows the card of a registered model, as Markdown."""
    return environment(autoescape=False).get_template(REGISTRATION).render(**registration._asdict())
