"""List the models that come with this library, or show the card of one.

  jaxnuc models
  jaxnuc models fluorescence

A card says on what a model was trained, under which license it is, what it reaches, and what it is
not for. Predict with one by `jaxnuc predict --model=NAME`.
"""

import argparse

from jaxnuc.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc models [NAME]"
    parser.add_argument("name", nargs="?", help="model whose card is shown (all: a line each)")


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    from jaxnuc.run.cards import card, cards

    if options.name:
        print(card(options.name).text(), end="")
        return
    for each in cards():
        use = "" if each.commercial else "; not for commercial use"
        print(f"{each.name:13} {each.summary}{use}")
