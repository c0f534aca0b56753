"""How many threads multiply matrices."""

from contextlib import AbstractContextManager


def one_thread() -> AbstractContextManager:
    """Return a context in which products of matrices use one thread.

    Two threads wait for each other longer than they compute, unless matrices are large: on a busy
    machine small products take twenty times as long.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
