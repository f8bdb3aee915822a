"""``ckv completion``: what has a shell complete roles and options, made from the tables of both."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Final

from ckv.exits import Exit
from ckv.roles import ROLES
from ckv.settings.roles import CompletionSettings
from ckv.settings.table import Setting, settings_of


def run(settings: CompletionSettings) -> int:
    """Prints the script; the exit code."""
    print(SCRIPTS[settings.shell](), end="")
    return Exit.FINE


def _options(role: str) -> list[Setting]:
    return [setting for setting in settings_of(ROLES[role].name) if setting.is_option]


def _typed(setting: Setting) -> str:
    """As it is typed, up to its value."""
    return f"{setting.name}=" if setting.unit else setting.name


def _brief(text: str) -> str:
    """The first sentence of a help text, for a line of a menu."""
    return re.split(r"(?<=[^.])[.:;] ", text, maxsplit=1)[0].rstrip(".")


def _bash() -> str:
    cases = "\n".join(
        f"        {role}) options={shlex.quote(' '.join([*map(_typed, _options(role)), '--help']))} ;;"
        for role in ROLES
    )
    return f"""\
# Completion of ckv in bash: eval "$(ckv completion bash)"
_ckv() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} options=
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '{" ".join(ROLES)} --help --version' -- "$word"))
        return 0
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    case $word in
        -*)
            COMPREPLY=($(compgen -W "$options" -- "$word"))
            case ${{COMPREPLY[0]-}} in *=) compopt -o nospace 2>/dev/null ;; esac
            ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
    return 0
}}
complete -o filenames -F _ckv ckv
"""


def _zsh() -> str:
    def entry(name: str, text: str) -> str:
        return shlex.quote(f"{name}:{_brief(text)}")

    roles = " ".join(entry(role.name, role.summary) for role in ROLES.values())
    cases = "\n".join(
        f"        {role}) options=({' '.join(entry(_typed(setting), setting.help) for setting in _options(role))}) ;;"
        for role in ROLES
    )
    return f"""\
#compdef ckv
# Completion of ckv in zsh: eval "$(ckv completion zsh)", or as the file _ckv in a folder of $fpath
_ckv() {{
    local -a roles options
    roles=({roles})
    if (( CURRENT == 2 )); then
        _describe role roles
        return
    fi
    case $words[2] in
{cases}
    esac
    if [[ $PREFIX == -* ]]; then
        _describe -o option options -S ''
    else
        _files
    fi
}}
if [ "$funcstack[1]" = _ckv ]; then _ckv "$@"; else compdef _ckv ckv; fi
"""


def _fish() -> str:
    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"

    lines = ["# Completion of ckv in fish: ckv completion fish | source"]
    for role in ROLES.values():
        lines.append(f"complete -c ckv -f -n __fish_use_subcommand -a {role.name} -d {quoted(role.summary)}")
        for setting in _options(role.name):
            short = f" -s {setting.short}" if setting.short else ""
            value = " -r" if setting.unit else ""
            lines.append(
                f"complete -c ckv -n '__fish_seen_subcommand_from {role.name}' -l {setting.name[2:]}{short}{value}"
                f" -d {quoted(_brief(setting.help))}"
            )
    return "\n".join(lines) + "\n"


SCRIPTS: Final[Mapping[str, Callable[[], str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""Shell to its script."""
