"""The runs of a grid: shared rows, failures, resumption and several processes."""
from multiprocessing import get_context

import pytest

from vicmae_mm.commands.reproduce.jobs import Job, list_jobs, read_records, run_missing
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir


def test_a_row_that_tables_share_is_one_job_with_the_evaluations_of_all():
    jobs = list_jobs([4, 5, 10], range(2))
    assert len(jobs) == len(set(jobs)) == 2 * (4 + 1 + 2 + 2)
    shared, = (job for job in jobs if job.config == 'vicmae_vit-b16_k400' and job.seed == 1)
    assert shared.evaluations[:2] == ('linear', 'finetune_005') and len(shared.evaluations) == 7
    assert [job.seed for job in jobs] == [0] * 9 + [1] * 9  # a seed is complete before the next


def test_a_failure_is_kept_and_tried_again_and_results_are_not_computed_twice(tmp_path):
    jobs = [Job('a/b', 0, ('x', )), Job('c', 0, ('x', 'y')), Job('c', 1, ('x', 'y'))]
    called, broken = [], {jobs[1]}

    def run(job, folder):
        called.append(job)
        yield {'x': 1.0, 'more': 5.0}
        if job in broken:
            raise ValueError('out of luck')
        yield {'y': 2.0}

    failed, elsewhere = run_missing(jobs, tmp_path, run)
    assert called == jobs and failed == [str(tmp_path / 'seed0/c')] and not elsewhere
    assert 'out of luck' in (tmp_path / 'seed0/c/failed.txt').read_text()
    records = read_records(tmp_path)
    assert len(records) == 3 + 2 + 3
    assert {'config': 'a/b', 'seed': 0, 'evaluation': 'more', 'score': 5.0}.items() <= (
        next(each for each in records if each['evaluation'] == 'more').items())

    broken.clear()
    assert run_missing(jobs, tmp_path, run) == ([], [])
    assert called[3:] == [jobs[1]] and not (tmp_path / 'seed0/c/failed.txt').exists()
    assert len(read_records(tmp_path)) == 9


def test_jobs_of_another_process_are_left_to_it(tmp_path):
    jobs = [Job('a', 0, ('x', )), Job('b', 0, ('x', ))]
    context = get_context('fork')
    held, done = context.Event(), context.Event()

    def hold():
        lock_work_dir(str(tmp_path / 'seed0/a'))
        held.set()
        done.wait(60)

    other = context.Process(target=hold)
    other.start()
    assert held.wait(60)
    result = run_missing(jobs, tmp_path, lambda job, folder: iter([{'x': 1.0}]))
    done.set()
    other.join()
    assert result == ([], [str(tmp_path / 'seed0/a')])
    assert [record['config'] for record in read_records(tmp_path)] == ['b']


def test_ctrl_c_is_not_a_failure_of_the_job(tmp_path):
    def run(job, folder):
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        run_missing([Job('a', 0, ('x', ))], tmp_path, run)
    assert not (tmp_path / 'seed0/a/failed.txt').exists()


def test_processes_add_their_results_to_one_file(tmp_path):
    def add(seed):
        job = Job('a', seed, tuple(map(str, range(30))))
        run_missing([job], tmp_path, lambda *args: ({name: 1.0} for name in job.evaluations))

    others = [get_context('fork').Process(target=add, args=(seed, )) for seed in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert len(read_records(tmp_path)) == 60
    run_missing([Job('a', 1, ('29', ))], tmp_path, lambda *args: pytest.fail('it has a result'))
