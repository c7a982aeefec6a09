"""The tables of docs/systems.md: the published systems, and what every network costs.

    python -m benchmarks.systems            # prints them
    python -m benchmarks.systems --write    # writes them into docs/systems.md

A system is a page of `configs/`: its network, representation, optimizer and schedules are read from
there. Nothing is computed or compiled: the networks are traced, with the maps that their own system
asks for. GMAC are billions of multiply-adds for one image of 256 x 256 pixels, or of the next side
up that fits; a network without padding gives smaller maps, so that networks compare by the pixel of
the maps: kMAC.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxnuc import build, labels, models
from jaxnuc.config.pages import load
from jaxnuc.data.sources import conic
from jaxnuc.models.cost import cost

PAGE = Path(__file__).parents[1] / "docs" / "systems.md"
COMMAND = "python -m benchmarks.systems --write"


@dataclass(frozen=True)
class System:
    """A row of the table of systems.

    Attributes:
      title: with the numbers of its references.
      page: of `configs/`, with arguments behind a colon.
      trained: what was trained here, and how well it does.
      label_set: name of that of the data set, and its arguments, for a class map.
      also: other pages.
      instead: sections in place of those of the page.
    """

    title: str
    page: str
    trained: str = "–"
    label_set: tuple[str, Mapping[str, Any]] | None = None
    also: tuple[str, ...] = ()
    instead: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def config(self) -> ConfigDict:
        """The configuration of the page."""
        config = load(self.page, {})
        for key, section in self.instead.items():
            config[key] = ConfigDict(dict(section))
        return config

    def size(self) -> "Size":
        """What its network costs with the maps of its representation."""
        config = self.config()
        sets = []
        if self.label_set is not None:
            name, arguments = self.label_set
            sets = [labels.label_set(name, **arguments)]
        representation = build.make_representation(config, sets)
        model = build.make_model(config, representation)
        return measure(config.model["name"], config.model["variant"], model)

    def row(self, size: "Size") -> str:
        """The row of the table."""
        config = self.config()
        maps = call(config.representation)
        if config.classes["name"] != "none":
            maps += f" with {call(config.classes)}, {size.outputs['class']} channels"
        held = "frozen" in config.optimizer
        training = [call(config.optimizer, without=("frozen", "frozen_until"))]
        training += ["some parameters held at first"] if held else []
        training += [
            call(section)
            for section in (config.schedule, config.loss_schedule)
            if section["name"] != "constant"
        ]
        pages = [name.partition(":")[0] for name in (self.page, *self.also)]
        cells = (
            self.title,
            call(config.model),
            maps,
            ", ".join(training),
            ", ".join(f"[{name}](../configs/{name}.py)" for name in pages),
            f"{size.parameters:,}",
            f"{size.multiply_adds / 1e9:.2f}"
            + ("" if size.side == size.out else f" ({size.side} → {size.out})"),
            self.trained,
        )
        return f"| {' | '.join(cells)} |"


U2NET: dict[str, dict[str, Any]] = {
    "model": {"name": "u2net", "variant": "full"},
    "representation": {"name": "binary", "loss": {"name": "bce"}},
    "optimizer": {"name": "adam", "learning_rate": 1e-3},
}
SYSTEMS = (
    System(
        "AL-Net, attention learning [1], and CNSeg [2]",
        "alnet_attention_cnseg",
        "DSB2018, small: PQ 0.573",
    ),
    System("AL-Net, adaptive learning [3]", "alnet_adaptive_dsb2018", "DSB2018, small: PQ 0.632"),
    System(
        "HARU-Net, the paper [4]",
        "harunet_monuseg:optimizer=paper",
        "DSB2018, small: PQ 0.679",
        also=("harunet_dsb2018",),
    ),
    System("HARU-Net, its code", "harunet_monuseg:optimizer=code"),
    System(
        "flexible U-Net, neoplastic nuclei [5]",
        "neoplastic_pannuke",
        "DSB2018, small: PQ 0.686",
        also=("flexible_unet_dsb2018", "flexible_unet_synthetic", "flexible_unet_tissue"),
    ),
    System(
        "label trees [6]",
        "stardist_labeltree_pannuke_consep",
        "NuCLS + CoNSeP, small: PQ 0.608, 0.375",
        ("pannuke", {}),
        also=("labeltree_nucls_consep",),
    ),
    System(
        "HoVer-Net [7]",
        "hovernet_consep",
        "DSB2018, small: PQ 0.613",
        ("consep", {"merge": True}),
    ),
    System("StarDist [8]", "stardist_dsb2018", "DSB2018, small: PQ 0.480"),
    System(
        "StarDist, CoNIC variant [9]",
        "stardist_conic",
        "one crop of CoNSeP: PQ 0.918",
        ("lizard", {"separate": True, "tree": conic.separate_label_set().tree}),
    ),
    System(
        "U2-Net [10]",
        "references_monuseg:method=unet_plus_plus",
        "one crop of CoNSeP: PQ 0.949",
        instead=U2NET,
    ),
    System(
        "U-Net, unpadded [11, 7]",
        "references_monuseg:method=unet",
        "one crop of CoNSeP, padded: PQ 0.997",
    ),
    System(
        "U-Net, as it is built now",
        "references_monuseg:method=unet_plus_plus",
        "DSB2018, small: PQ 0.640",
        instead={"model": {"name": "unet", "variant": "full"}},
    ),
    System(
        "U-Net++ [12]", "references_monuseg:method=unet_plus_plus", "one crop of CoNSeP: PQ 0.950"
    ),
    System(
        "Attention U-Net [13]",
        "references_monuseg:method=attention_unet",
        "one crop of CoNSeP: PQ 0.950",
    ),
    System("CE-Net [14]", "references_monuseg:method=ce_net", "one crop of CoNSeP: PQ 0.949"),
    System(
        "DCAN [15, 7]",
        "references_monuseg:method=dcan",
        "one crop of CoNSeP, a stage less: PQ 0.931",
    ),
    System(
        "Micro-Net [16, 7]", "references_monuseg:method=micro_net", "one crop of CoNSeP: PQ 0.996"
    ),
    System("DIST [17, 7]", "references_monuseg:method=dist", "one crop of CoNSeP: PQ 0.987"),
    System(
        "DeepLabV3+ [18]",
        "references_monuseg:method=deeplabv3_plus",
        "one crop of CoNSeP: PQ 0.934",
    ),
    System(
        "DeepLabV3 [19]",
        "references_monuseg:method=deeplabv3",
        "one crop of CoNSeP: PQ 0.764",
    ),
    System(
        "PSPNet [20]",
        "references_monuseg:method=pspnet",
        "one crop of CoNSeP: PQ 0.596",
    ),
)

SYSTEMS_HEADER = (
    "| system | network | maps, losses, post-processing | optimizer and schedules | page "
    "| parameters | GMAC | trained here on |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)
SIZES_HEADER = (
    "| network | variant | maps | parameters | sides | GMAC | kMAC a pixel |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def call(section: Mapping[str, Any], without: tuple[str, ...] = ()) -> str:
    """A section as `` `name(argument=value)` ``."""

    def text(value: Any) -> str:
        if isinstance(value, Mapping | ConfigDict):
            return f"{{{', '.join(f'{text(k)}: {text(v)}' for k, v in value.items())}}}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(text, value))}]"
        return f'"{value}"' if isinstance(value, str) else repr(value)

    inner = {k: v for k, v in section.items() if k not in ("name", *without)}
    arguments = ", ".join(f"{k}={text(v)}" for k, v in sorted(inner.items()))
    return f"`{section['name']}({arguments})`"


class Size(NamedTuple):
    """What a network costs.

    Attributes:
      network: its name.
      variant: a name in its `VARIANTS`.
      outputs: channels of its maps.
      parameters, side, out, multiply_adds: see `jaxnuc.models.cost.Cost`.
    """

    network: str
    variant: str
    outputs: dict[str, int]
    parameters: int
    side: int
    out: int
    multiply_adds: int

    def row(self) -> str:
        """The row of the table."""
        maps = ", ".join(f"{name} {channels}" for name, channels in self.outputs.items())
        cells = (
            f"`{self.network}`",
            f"`{self.variant}`",
            maps,
            f"{self.parameters:,}",
            f"{self.side} → {self.out}",
            f"{self.multiply_adds / 1e9:.2f}",
            f"{self.multiply_adds / self.out**2 / 1e3:.0f}",
        )
        return f"| {' | '.join(cells)} |"


def sizes(network: str, systems: Iterable[Size]) -> Iterator[Size]:
    """The variants of a network, with the maps of its systems or else with a mask."""
    own = [size for size in systems if size.network == network]
    full = next((size for size in own if size.variant == "full"), None)
    outputs = {"mask": 1}
    if full is not None:
        outputs = {name: c for name, c in full.outputs.items() if name != "class"}
    for variant in models.REGISTRY.find(network).VARIANTS:  # type: ignore[attr-defined]
        published = [size for size in own if size.variant == variant]
        if published:
            yield from published
        elif variant != "tiny":
            yield measure(network, variant, models.create(network, outputs, variant))


def measure(network: str, variant: str, model: models.Network) -> Size:
    """Counts the parameters of a network, and its multiply-adds for one image."""
    return Size(network, variant, dict(model.outputs), *cost(model))


def tables() -> dict[str, str]:
    """The tables of the page by name."""
    measured = [system.size() for system in SYSTEMS]
    systems = [system.row(size) for system, size in zip(SYSTEMS, measured, strict=True)]
    networks = models.REGISTRY.names()
    rows = [size.row() for network in networks for size in sizes(network, measured)]
    return {
        "systems": "\n".join([SYSTEMS_HEADER, *systems]),
        "sizes": "\n".join([SIZES_HEADER, *dict.fromkeys(rows)]),
    }


def insert(page: str, name: str, table: str) -> str:
    """The page with a table in place of what is between the marks of that name."""
    begin, end = f"<!-- {name}: made by {COMMAND} -->\n", f"\n<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    if not found or end not in rest:
        raise ValueError(f"{PAGE} needs the lines {begin.strip()!r} and {end.strip()!r}")
    return before + begin + table + rest[rest.index(end) :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the tables into the page")
    given = parser.parse_args()
    made = tables()
    if not given.write:
        print("\n\n".join(made.values()))
        return
    page = PAGE.read_text()
    for name, table in made.items():
        page = insert(page, name, table)
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
