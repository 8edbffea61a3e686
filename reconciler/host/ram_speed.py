"""How fast this machine reads its RAM."""

import ctypes
import mmap
import threading
import time

_MOST = 1024**3
"""Bytes that are read: several times the largest caches, so that they hold little of it."""
_PASSES = 5


def measure_ram_bandwidth(threads: int, available: int) -> float:
    """Bytes per second that `threads` threads read together, the best of several passes; takes some seconds.

    `available` bytes of RAM may be used; an eighth of them at most is.
    """
    size = min(_MOST, available // 8) // threads // mmap.PAGESIZE * mmap.PAGESIZE
    memory = mmap.mmap(-1, size * threads)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    # Pages that nobody wrote to are all the same one, and cached.
    ctypes.memset(begin, 1, size * threads)
    return size * threads / min(_pass(begin, size, threads) for _ in range(_PASSES))


def _pass(begin: int, size: int, threads: int) -> float:
    """Seconds until all threads have read their parts; while ctypes calls C, Python's lock is free."""
    memchr = ctypes.CDLL(None).memchr
    memchr.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    memchr.restype = ctypes.c_void_p
    readers = [
        threading.Thread(target=memchr, args=(begin + number * size, 0, size)) for number in range(threads)
    ]
    started = time.perf_counter()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return time.perf_counter() - started
