"""Published ways to evaluate, one file each: the name of the file is the name of the protocol.

A file defines `Protocol`, a subclass of `jaxnuc.metrics.protocols.base.Protocol`; so does a module
of any other package, which a dotted name reaches.
"""
