"""A launchctl that gives recorded answers, for machines that are no Mac."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.host.process import Completed

# As launchctl prints it; fields of inner blocks must not be taken for the service's own.
RUNNING = """gui/501/llama@a-max = {
\tactive count = 1
\tpath = /Users/me/Library/LaunchAgents/llama@a-max.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /usr/bin/llama-server
\targuments = {
\t\t/usr/bin/llama-server
\t\tpid = 1
\t}

\tdefault environment = {
\t\tPATH => /usr/bin:/bin
\t}

\tdomain = gui/501 [100006]
\tminimum runtime = 10
\texit timeout = 5
\truns = %(runs)d
\tpid = %(pid)d
\timmediate reason = semaphore
\tforks = 0
\tlast exit code = (never exited)
}
"""
WAITING = """gui/501/llama@a-max = {
\tactive count = 0
\tstate = spawn scheduled
\truns = 4
\tlast exit code = 78: EX_CONFIG
}
"""


@dataclass
class Launchctl:
    """Loaded services by target; every call is kept."""

    loaded: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    draining: int = 0
    """So many bootstraps still fail because the previous instance has not gone."""

    def __call__(self, arguments: Sequence[str]) -> Completed:
        self.calls.append(" ".join(arguments))
        code, stdout, stderr = 0, "", ""
        match arguments:
            case ["print", domain] if domain.count("/") == 1:
                stdout = f"{domain} = {{\n\ttype = gui\n}}\n"
            case ["print", target]:
                stdout = self.loaded.get(target, "")
                if not stdout:
                    code, stderr = 113, f'Could not find service "{target}" in domain for user gui: 501'
            case ["bootstrap", _, _] if self.draining:
                self.draining -= 1
                code, stderr = 5, "Bootstrap failed: 5: Input/output error"
            case ["bootstrap", domain, path]:
                self.loaded[f"{domain}/{Path(path).stem}"] = RUNNING % {"runs": 1, "pid": os.getpid()}
            case ["bootout", target] if self.loaded.pop(target, None) is None:
                code, stderr = 3, "Boot-out failed: 3: No such process"
        return Completed(("launchctl",), code, stdout, stderr)

    def orders(self) -> list[str]:
        return [call for call in self.calls if not call.startswith("print")]
