"""``python -m vicmae_mm``: the command ``vicmae``, for an environment that is not activated."""
from .commands.console import main

if __name__ == '__main__':
    main()
