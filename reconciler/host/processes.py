"""What the operating system says of a process."""


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process in bytes; None when it is gone or may not be asked."""
    import psutil  # noqa: PLC0415 - costs 20 ms, and only `status` wants it

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
