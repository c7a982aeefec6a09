"""Microns per pixel of samples: set where a source does not know them, compared, made equal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jaxnuc.data.sample import MappedSource, Sample, Source
from jaxnuc.data.transforms.geometry import resize
from jaxnuc.io.pixel_size import check_mpp

# Scanners of one nominal magnification differ by a few percent.
TOLERANCE = 0.1
_WAY_OUT = 'give "mpp" in its section of the configuration, {"name": ..., "mpp": 0.25}'


@dataclass(frozen=True)
class SetMpp:
    """Sets the microns per pixel, a positive number, of a sample, whatever its files say."""

    mpp: float

    def __post_init__(self) -> None:
        check_mpp(self.mpp)

    def __call__(self, sample: Sample) -> Sample:
        return replace(sample, meta={**sample.meta, "mpp": float(self.mpp)})


class Resample(SetMpp):
    """Resizes a sample to a number of microns per pixel; see `transforms.geometry.resize`.

    Raises:
      ValueError: not a positive number; on calling, those of the sample are unknown.
    """

    def __call__(self, sample: Sample) -> Sample:
        factor = known_mpp(sample) / self.mpp
        height, width = (max(1, round(side * factor)) for side in sample.instances.shape)
        resized = resize(sample, height, width)
        return super().__call__(resized)


def resampled(source: Source, mpp: float) -> Source:
    """A source at one number of microns per pixel.

    Raises:
      ValueError: `mpp` is not a positive number, or the source's are unknown: of the first and the
        last sample at once, of another one when it is read.
    """
    for sample in probes(source):
        known_mpp(sample)
    return MappedSource(source, Resample(mpp))


def probes(source: Source) -> Iterator[Sample]:
    """The first and the last sample: sets of two magnifications usually have them in order."""
    if len(source):
        yield source[0]
    if len(source) > 1 and not source.endless:
        yield source[len(source) - 1]


def known_mpp(sample: Sample) -> float:
    """The sample's microns per pixel; ValueError where they are unknown."""
    mpp = sample.meta.get("mpp")
    if mpp is None:
        raise ValueError(f"{label(sample.meta)}: its microns per pixel are unknown; {_WAY_OUT}")
    return float(mpp)


def check_same(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Refuses, with a ValueError, samples whose meta has mpp that differ by more than 10 %.

    So are two of which one's are unknown.
    """
    a, b = first.get("mpp"), second.get("mpp")
    if a is None and b is None:
        return
    if a is None or b is None:
        known, unknown = (second, first) if a is None else (first, second)
        raise ValueError(
            f"{label(known)} has {known['mpp']:g} microns per pixel, those of "
            f"{label(unknown)} are unknown; {_WAY_OUT}"
        )
    if max(a, b) > (1 + TOLERANCE) * min(a, b):
        raise ValueError(
            f"{label(first)} has {a:g} microns per pixel, {label(second)} has {b:g}; give data.mpp "
            "to resample all to one value"
        )


def label(meta: Mapping[str, Any]) -> str:
    """How messages name a sample: by its source and its name."""
    return f"{meta.get('source', 'source')!r} (image {meta.get('name')!r})"
