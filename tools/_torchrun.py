"""torchrun without a traceback of its own: the processes have printed what happened to them."""
import logging
import os
import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until torchrun has its own: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

# It logs each process that it ends or that has failed.
for name in logging.root.manager.loggerDict:
    if name.startswith('torch.distributed.'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
try:
    main()
except SignalException as stop:
    sys.exit(128 + stop.sigval)
except ChildFailedError as error:
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:  # it could not print anything itself
        name = signal.Signals(-failure.exitcode).name
        reason = ', most likely out of memory' if name == 'SIGKILL' else ''
        print(f'error (rank {rank}): killed by {name}{reason}', file=sys.stderr)
    sys.exit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode)
