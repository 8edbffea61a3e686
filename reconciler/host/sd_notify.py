"""Telling the service manager how we are (sd_notify(3)); silent where nobody listens."""

import os
import socket
import threading
import time


class ServiceNotifier:
    """Speaks to `$NOTIFY_SOCKET`, and takes the variable away so that no child can speak for us."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        interval = int(os.environ.pop("WATCHDOG_USEC", "0") or 0) / 1_000_000
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._interval = interval / 3
        self._alive_until = 0.0
        if self._address and self._interval:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def ready(self) -> None:
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + text.replace("\n", " "))

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive_for(self, seconds: float) -> None:
        """Promise to call again within so many seconds; the watchdog is fed only while the promise holds."""
        self._alive_until = time.monotonic() + seconds

    def _watch(self) -> None:
        while True:
            if time.monotonic() < self._alive_until:
                self._send("WATCHDOG=1")
            time.sleep(self._interval)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.connect(self._address)
                channel.send(message.encode())
        except OSError:
            return  # the manager is going; that it does not hear us is no reason to end
