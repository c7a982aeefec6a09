"""Data sets, transforms and the input pipeline; nothing here but the pipeline imports JAX.

`sources.create` opens a data set, `splits.open_split` one that a configuration names,
`transforms.parse` reads a list of augmentations, and `pipeline.batches` joins them into a stream
that can be resumed.
"""

from jaxnuc.data.sample import MappedSource, Sample, Source

__all__ = ["MappedSource", "Sample", "Source"]
