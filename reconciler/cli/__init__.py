"""What a person types: one file per command, each imported when it is called, so that start-up is instant."""

import itertools
import json
import sys
from gc import set_threshold
from importlib import import_module
from keyword import iskeyword

import click

COMMANDS = (
    "init",
    "validate",
    "plan",
    "diff",
    "apply",
    "status",
    "list",
    "show",
    "logs",
    "pull",
    "promote",
    "rollback",
    "history",
    "pin",
    "unpin",
    "gc",
    "verify",
    "watch",
    "suspend",
    "resume",
    "events",
    "gpu",
    "placement",
    "import",
    "export",
    "doctor",
    "schema",
    "completion",
    "demo",
)
"""In the order of a person's first day."""


class LazyGroup(click.Group):
    """Finds a command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name.replace("-", "_") + ("_" if iskeyword(cmd_name) else "")
        found = import_module(f"reconciler.cli.{module}").command
        if not isinstance(found, click.Command):
            raise TypeError(f"reconciler.cli.{cmd_name} declares no command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and a mistyped name is answered with the nearest one."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches  # noqa: PLC0415 - only a typo pays for it

            near = get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done or nothing to do, 1 failed, 2 bad usage, 3 refused by a guard, 4 unhealthy.",
)
@click.version_option(package_name="modelctl", prog_name="modelctl")
def group() -> None:
    """Edit the YAML spec, commit, and the machine becomes what it says."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `modelctl` script; ends the process with the contract's exit code."""
    # A command makes many small values and no cycles worth collecting; looking for them doubles the time that
    # a spec of 10,000 models takes to read.
    set_threshold(100_000, 50, 50)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; no exception leaves it."""
    try:
        result = group.main(arguments, prog_name="modelctl", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # nobody listens any more; the interpreter must not complain of it at exit
        return 0
    except Exception as error:  # noqa: BLE001 - the top: every failure becomes words and an exit code
        return _fail(error, arguments)
    return int(result) if isinstance(result, int) else 0


def _fail(error: Exception, arguments: list[str]) -> int:
    from reconciler.cli.errors import explain  # noqa: PLC0415 - only failures pay for it
    from reconciler.cli.output import FORMAT_VERSION, Format, Output  # noqa: PLC0415

    output = Output(Format.TEXT, interactive=False)
    explanations = explain(error)
    if "--debug" in arguments:
        import traceback  # noqa: PLC0415

        output.note("".join(traceback.format_exception(error)))
    if _wants_json(arguments):
        errors = [explanation.document() for explanation in explanations]
        output.note(json.dumps({"format_version": FORMAT_VERSION, "errors": errors}, ensure_ascii=False))
    else:
        for explanation in explanations:
            for line in explanation.lines():
                output.note(line)
    code = explanations[0].exit_code
    # `diff` promises 1 for "differs", so its failures start at 2.
    return max(code, 2) if arguments[:1] == ["diff"] else code


def _wants_json(arguments: list[str]) -> bool:
    return "--format=json" in arguments or any(
        pair == ("--format", "json") for pair in itertools.pairwise(arguments)
    )
