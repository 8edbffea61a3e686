"""What becomes of a generation after it was recorded."""

from reconciler.host.state import State


def rename_revision(state: State, number: int, commit: str) -> None:
    """Generation `number` was applied from edits that by now are `commit`, and nothing else."""
    state.execute("UPDATE generation SET revision = ?, dirty = 0 WHERE number = ?", (commit, number))
