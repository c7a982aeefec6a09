"""Native readers, transforms and the input pipeline; nothing here imports JAX.

`sources.create` opens a data set, `transforms.parse` reads a list of augmentations,
`pipeline.batches` joins the two into a resumable stream.
"""

from jaxnuc.data.sample import Sample, Source

__all__ = ["Sample", "Source"]
