"""The metrics of the library, one file each: the name of the file is the name of the metric.

A file defines `Metric`, a subclass of `jaxnuc.metrics.base.Metric`. Files that begin with `_` hold
what several metrics share.
"""
