"""Functions for worker processes, which import them by name."""
import os
import signal
import time

from vicmae_mm.utils.processes.pool import still_working


def behave(task: str) -> str:
    """Do what the task says; ``hang FILE`` and ``nap FILE`` first write the process id to FILE."""
    what, _, argument = task.partition(' ')
    if what == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == 'exit':
        os._exit(3)
    if what in ('hang', 'nap'):
        if argument:
            with open(argument, 'w') as file:
                file.write(str(os.getpid()))
        time.sleep(120 if what == 'hang' else .5)
    if what == 'steady':
        for _ in range(8):
            time.sleep(.25)
            still_working()
    if what == 'fault':
        raise KeyError('a fault of the program')
    if what == 'disk':
        raise OSError(28, 'No space left on device', argument)
    return f'{task} done'
