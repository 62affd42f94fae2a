"""What the main process decides, and its errors, reach every process."""
from mmengine.dist import get_rank

from tests.helpers.distributed import run_distributed
from vicmae_mm.utils.errors import RunError
from vicmae_mm.utils.main_process import on_main_process, shared_errors


def outcome(call) -> str:
    try:
        return str(call())
    except Exception as error:
        return f'{type(error).__name__}: {error}'


def fail(kind: type[Exception], ranks: tuple[int, ...]) -> int:
    if get_rank() in ranks:
        raise kind('full')
    return 7


def in_nested_blocks(*args) -> int:
    with shared_errors(), shared_errors():
        return fail(*args)


def outcomes() -> list[str]:
    return [
        outcome(lambda: on_main_process(get_rank)),
        outcome(lambda: on_main_process(lambda: fail(RunError, (0, )))),
        outcome(lambda: on_main_process(lambda: fail(OSError, (0, )))),
        *(outcome(lambda ranks=ranks: in_nested_blocks(OSError, ranks))
          for ranks in ((), (0, ), (1, ), (0, 1)))]


def test_every_process_has_the_same():
    main, other = run_distributed(outcomes, 2)
    assert main == ['0', 'RunError: full', 'InputError: full', '7', 'OSError: full', '7',
                    'OSError: full']
    assert other == ['0', 'RunError: full', 'InputError: full', '7', 'RunError: full',
                     'OSError: full', 'OSError: full']
