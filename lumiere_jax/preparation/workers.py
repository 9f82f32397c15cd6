"""Run tasks in several processes, in order; a crash of a process loses one task only."""

import collections
import concurrent.futures
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T = TypeVar("T")

AHEAD = 4  # tasks queued for each worker, so that one long video does not leave the others idle


def in_order(
    function: Callable[[T], None], tasks: Iterable[T], workers: int
) -> Iterator[tuple[T, bool]]:
    """Call function(task) for every task and yield (task, True if it was done), in order.

    A task that kills its process (a decoder's crash, or memory running out) is tried once more
    alone; if that fails too, it is yielded with False.

    Args:
      function: picklable function that may be called again for the same task.
      tasks: picklable arguments of the function.
      workers: number of processes; 0 works in this one.
    """
    if workers == 0:
        for task in tasks:
            function(task)
            yield task, True
        return
    tasks = iter(tasks)
    pending: collections.deque = collections.deque()
    pool = _pool(workers)
    try:
        while True:
            while len(pending) < AHEAD * workers and (task := next(tasks, None)) is not None:
                pending.append((task, _submit(pool, function, task)))
            if not pending:
                return
            task, future = pending.popleft()
            done = _finished(future)
            if not done:
                pool.shutdown(cancel_futures=True)
                with _pool(1) as alone:
                    done = _finished(_submit(alone, function, task))
                pool = _pool(workers)
                pending = collections.deque(
                    (task, _submit(pool, function, task)) for task, _ in pending
                )
            yield task, done
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    # Spawned, not forked: a forked process inherits locks that are never released.
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_start_worker)


def _submit(pool, function, task) -> concurrent.futures.Future:
    try:
        return pool.submit(function, task)
    except BrokenProcessPool as error:
        future: concurrent.futures.Future = concurrent.futures.Future()
        future.set_exception(error)
        return future


def _finished(future: concurrent.futures.Future) -> bool:
    try:
        future.result()
    except BrokenProcessPool:
        return False
    return True


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent is killed; it would wait for tasks for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
