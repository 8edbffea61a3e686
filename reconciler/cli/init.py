"""`modelctl init`: the first spec for this machine."""

import platform
from pathlib import Path

import click

from reconciler.cli.context import Context, declare
from reconciler.core.errors import Refused
from reconciler.core.machine import MachineFacts


@declare("init", short_help="Write a commented starter spec for this machine.")
@click.argument("folder", metavar="[DIR]", required=False)
def command(context: Context, folder: str | None) -> None:
    """Look at this machine's supervisor, RAM and GPUs, and write a commented spec for it into DIR.

    DIR is the folder of the spec, by default the one that --spec names. Nothing that is there is overwritten,
    and nothing outside of it is touched.
    """
    from reconciler.host.files import atomic_write  # noqa: PLC0415 - start-up time
    from reconciler.spec.schema import schema_text  # noqa: PLC0415
    from reconciler.spec.starter import starter  # noqa: PLC0415

    target = Path(folder if folder is not None else context.spec)
    files = {"models.yaml": "", "spec.schema.json": schema_text()}
    standing = [target / name for name in files if (target / name).exists()]
    standing += [file for pattern in ("*.yaml", "*.yml") for file in target.glob(pattern)]
    if standing:
        raise Refused(
            f"{standing[0]} is already there",
            hint="name another folder, or edit what is there: `modelctl validate` checks it",
        )
    files["models.yaml"] = starter(_look())
    target.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        atomic_write(target / name, text)
    written = [str(target / name) for name in files]
    context.output.document({"written": written}, lambda: "\n".join(f"wrote {path}" for path in written))
    context.output.note(
        f"next: read {written[0]}, `modelctl placement` (does it fit?), `modelctl pull`, `modelctl plan`"
    )


def _look() -> MachineFacts:
    from reconciler.host.machine import cpu_count  # noqa: PLC0415 - start-up time
    from reconciler.host.memory import host_memory  # noqa: PLC0415
    from reconciler.host.nvml import survey  # noqa: PLC0415
    from reconciler.host.supervisors.choose import detect  # noqa: PLC0415

    return MachineFacts(
        platform=f"{'macOS' if platform.system() == 'Darwin' else platform.system()} {platform.machine()}",
        cpu_count=cpu_count(),
        memory=host_memory(),
        gpus=survey().gpus,
        supervisor=detect(),
    )
