"""One process among none, for what only the main process of a launch does."""


class Alone:
    """What `roentgen.cache.open_cache` asks of an accelerator, as a single process answers it."""

    process_index, num_processes = 0, 1
    is_main_process = is_local_main_process = True
    device = "cpu"

    def wait_for_everyone(self) -> None:
        """There is nobody to wait for."""


ALONE = Alone()
