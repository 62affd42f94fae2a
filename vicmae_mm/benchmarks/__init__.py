"""What ``tools/benchmark.py`` measures: one module a command, each with ``SUMMARY``,
``add_arguments(parser)`` and ``run(args)``."""
