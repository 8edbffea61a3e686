"""`modelctl doctor`: what is missing on this machine, and the command that mends it."""

from pathlib import Path

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.output import Style, paint
from reconciler.core.errors import ExitCode


@declare("doctor", short_help="Say what is missing here, and how to mend it.")
@click.option("--measure", is_flag=True, help="Also measure how fast RAM is read, with all cores.")
def command(context: Context, *, measure: bool) -> ExitCode:
    """Say what serving needs and this machine lacks, each with the command that mends it."""
    from reconciler.reconcile import doctor, session  # noqa: PLC0415

    folder = Path(context.spec)
    findings = doctor.examine(session.open_any_folder(folder), folder, measure=measure)
    styles = {
        doctor.Verdict.OK: Style.GOOD,
        doctor.Verdict.WARN: Style.WARN,
        doctor.Verdict.MISSING: Style.BAD,
    }

    def text() -> str:
        lines = []
        for finding in findings:
            lines.append(
                f"{paint(finding.verdict.ljust(7), styles[finding.verdict])} {finding.name}: {finding.detail}"
            )
            if finding.hint:
                lines.append(f"        mend: {finding.hint}")
        return "\n".join(lines)

    context.output.document({"findings": [finding.document() for finding in findings]}, text)
    missing = any(finding.verdict is doctor.Verdict.MISSING for finding in findings)
    return ExitCode.FAILED if missing else ExitCode.OK
