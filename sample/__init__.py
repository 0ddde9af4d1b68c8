import roentgen.early_interrupt  # noqa: F401
