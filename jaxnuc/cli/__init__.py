"""The command `jaxnuc`: one file a subcommand, with `add_arguments(parser)` and `run(options)`.

Modules here import what is slow (JAX, NumPy) inside `run`, so that help and the first words of a
command come at once.
"""
