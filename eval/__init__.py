import roentgen.errors  # noqa: F401
