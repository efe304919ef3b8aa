"""seatrial completion: the script that teaches a shell our commands, options, targets and devices."""

from __future__ import annotations

import click

from .command import Command
from .screen import Screen

HINTS = {
    "bash": 'eval "$(seatrial completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(seatrial completion zsh)" in ~/.zshrc',
    "fish": "seatrial completion fish > ~/.config/fish/completions/seatrial.fish",
}


@click.command(cls=Command, epilog="Where it goes: " + "; ".join(HINTS.values()))
@click.argument("shell", type=click.Choice(tuple(HINTS)))
@click.pass_obj
def completion(screen: Screen, shell: str) -> None:
    """Print the completion script of SHELL."""
    from click.shell_completion import ShellComplete, get_completion_class

    from seatrial.cli import cli

    made = get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"no completion for {shell}")
    # ShellComplete.source, not the subclass's: bash's first starts a bash only to warn about versions before 4.4.
    script = ShellComplete.source(made(cli, {}, "seatrial", "_SEATRIAL_COMPLETE"))
    screen.document({"shell": shell, "script": script, "install": HINTS[shell]})
    screen.line(script)
