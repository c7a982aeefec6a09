"""What every metric is: a name, a direction, and how it is computed.

A metric is a file of `jaxnuc/metrics/definitions` or a class of any other package; docs/metrics.md
has an example. Nothing else has to be changed: evaluations, files, comparisons, reports and
`evaluation.monitor` find it by its name.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from jaxnuc.metrics.pair import NEEDS, ImagePair
from jaxnuc.registry import Registry, unknown

Counts = Mapping[str, Any]  # by name: numbers of one image, or arrays of sums of one shape

AGGREGATIONS = {
    "image_mean": "mean of the images' scores",
    "group_mean": "mean over the groups of the mean of their images' scores",
    "pooled": "computed once from counts summed over all images",
}


class Metric:
    """A number that says how good a segmentation is.

    It has a value for each image, or counts that are summed over the images and make one figure of
    a data set, or both. A subclass may be a frozen dataclass whose fields are its arguments.

    Attributes:
      name: in files and figures; by default the name of the module, or of a class that is not
        called `Metric`, in lower case.
      title: for tables and reports.
      unit: empty for a share; `"length"` for pixels, or micrometers where `conventions.mpp` is set.
      higher_is_better: the direction: decides what is the best checkpoint.
      best: the value of identical maps.
      worst: the value of an image that is entirely wrong; NaN where there is no such value.
      needs: what an image must have, of `jaxnuc.metrics.pair.NEEDS`.
      per_image: whether each image has a value.
      pooled_as: the aggregations that follow from the counts.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    best: ClassVar[float] = 1.0
    worst: ClassVar[float] = 0.0
    needs: ClassVar[tuple[str, ...]] = ()
    per_image: ClassVar[bool] = True
    pooled_as: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        if "name" not in cls.__dict__:
            module = cls.__module__.rpartition(".")[2]
            cls.name = module if cls.__name__ == "Metric" else cls.__name__.lower()
        for need in cls.needs:
            if need not in NEEDS:
                raise unknown(f"need of metric {cls.name!r}", need, NEEDS)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def value(self, image: ImagePair) -> float:
        """The value of one image; NaN where it has none. Not called for an image without nuclei.

        By default that of its counts.
        """
        return float(self.pooled(self.counts(image)))

    def counts(self, image: ImagePair) -> Mapping[str, float]:
        """What an image adds to the figures of a data set, by name.

        Names are shared by all metrics: the same name means the same number.
        """
        return {}

    def pooled(self, counts: Counts) -> Any:
        """The figure of a data set, from counts summed over its images.

        Counts are arrays of any one shape, such as one number for each resample, and so is the
        figure; NaN where there is nothing to score.
        """
        raise NotImplementedError

    def aggregate(self, counts: Counts) -> dict[str, np.ndarray]:
        """The figures that follow from the counts, by aggregation: those of `pooled_as`."""
        return {name: np.asarray(self.pooled(counts), np.float64) for name in self.pooled_as}

    def by_class(self, counts: Counts) -> dict[str, dict[str, float]]:
        """Figures of each class from summed counts: `{"pq_pooled": {"immune": 0.6, ...}}`."""
        return {}

    def figures(self, groups: bool = False) -> list[str]:
        """The names of the figures of a data set; with groups, of those as well."""
        means = ["image_mean", "group_mean"][: 1 + groups] if self.per_image else []
        return [f"{self.name}_{aggregation}" for aggregation in (*means, *self.pooled_as)]

    def of_empty(self, rule: str) -> float:
        """The value of an image without nuclei on both sides, by the rule of the conventions."""
        return {"one": self.best, "zero": self.worst}.get(rule, math.nan)

    def unit_of(self, mpp: float | None) -> str:
        """The unit of a value at this size of a pixel."""
        return ("px" if mpp is None else "µm") if self.unit == "length" else self.unit


def ratio(part: Any, whole: Any) -> Any:
    """`part / whole` of arrays of sums; NaN where the whole is 0."""
    return np.where(np.asarray(whole) > 0, part / np.where(whole > 0, whole, 1), np.nan)


REGISTRY = Registry("metric", "jaxnuc.metrics.definitions", "Metric", base=Metric)

STANDARD = (
    "dice",
    "iou",
    "aji",
    "aji_plus",
    "dq",
    "sq",
    "pq",
    "precision",
    "recall",
    "dice2",
    "instance_dice",
)
"""The metrics that are computed where none are named: those that label maps are enough for."""
Entry = str | Mapping[str, Any] | Metric


def make(entries: Iterable[Entry]) -> tuple[Metric, ...]:
    """Metrics by name, in this order, each once.

    Args:
      entries: names of the library's metrics, dotted names from other packages, or sections
        `{"name": ..., **arguments}`; `"standard"` stands for those of `STANDARD`.

    Raises:
      ValueError: an unknown name or argument, or two metrics of one name.

    >>> [metric.title for metric in make(["pq", "hd95"])]
    ['PQ, panoptic quality', 'HD95, outlines of the foreground']
    """
    metrics: dict[str, Metric] = {}
    for entry in entries:
        names: Sequence[Entry] = STANDARD if entry == "standard" else [entry]
        for each in names:
            metric = build_entry(REGISTRY, each)
            if metrics.setdefault(metric.name, metric) != metric:
                raise ValueError(
                    f"two metrics are called {metric.name!r}; give the class of one another 'name'"
                )
    return tuple(metrics.values())


def build_entry(registry: Registry, entry: Any) -> Any:
    """What an entry of a list stands for: a name, a section, or the thing itself."""
    if isinstance(entry, registry.base):
        return entry
    return registry.build({"name": entry} if isinstance(entry, str) else entry)


def entry(metric: Metric) -> str | dict[str, Any]:
    """The entry from which `make` makes a metric again: for files."""
    cls = type(metric)
    package, _, file = cls.__module__.rpartition(".")
    ours = package == REGISTRY.package and cls.__name__ == REGISTRY.member
    name = file if ours else f"{cls.__module__}.{cls.__qualname__}"
    arguments = dict(vars(metric))
    return {"name": name, **arguments} if arguments else name


def choose(
    entries: Iterable[Entry], available: Iterable[str], default: str = "standard"
) -> tuple[Metric, ...]:
    """The metrics of an evaluation.

    Args:
      entries: see `make`; empty: the default.
      available: what every image has, of `jaxnuc.metrics.pair.NEEDS`.
      default: `"standard"`: those of `STANDARD`, and mPQ where there are classes; `"all"`: every
        metric of the library that can be computed.

    Raises:
      ValueError: a metric that was asked for needs more than there is.
    """
    available = set(available)
    if entries := list(entries):
        metrics = make(entries)
        for metric in metrics:
            check_needs(f"metric {metric.name!r}", metric.needs, available)
        return metrics
    names = [*STANDARD, *(n for n in REGISTRY.names() if n not in STANDARD)]
    names = [*STANDARD, "mpq"] if default == "standard" else names
    return tuple(metric for metric in make(names) if available.issuperset(metric.needs))


def check_needs(what: str, needs: Iterable[str], available: Collection[str]) -> None:
    """Refuses what needs more than there is.

    Raises:
      ValueError: names what is missing.
    """
    for need in needs:
        if need not in available:
            raise ValueError(f"{what} needs {NEEDS[need]}, which this data set or network lacks")
