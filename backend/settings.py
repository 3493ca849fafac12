"""Every limit and switch of the program: read once from environment and command line, printable.

Each field says its unit, its range and one sentence. The environment variable of a field is
``UNMASK_`` and its name in capitals; the command line wins over the environment.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from backend.errors import Problem, RequestError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _limit(
    default: Any, help: str, low: int | None = None, high: int | None = None, choices: tuple[str, ...] = (), secret: bool = False
) -> Any:
    return field(default=default, repr=not secret, metadata={"help": help, "low": low, "high": high, "choices": choices, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """The configuration of one server."""

    model: str = _limit("tiny-diffusion", "Model opened at start: a catalogue name, a folder or a hub id.")
    host: str = _limit("127.0.0.1", "Address to listen on; loopback unless you decide otherwise.")
    port: int = _limit(7860, "Port to listen on.", 1, 65535)
    root_path: str = _limit("", "Sub-path when served behind a proxy, such as /unmask.")
    engine: str = _limit("local", "Where models run: in this process (local), or in replicas on any number of machines (ray).", choices=("local", "ray"))
    ray_address: str = _limit("", "Head of a running Ray cluster, host:port, or auto for this machine's; empty starts Ray here.")
    replicas_min: int = _limit(1, "Replicas that decode with the engine ray, at least.", 1, 1024)
    replicas_max: int = _limit(1, "Replicas that decode with the engine ray, at most; more are started as runs come.", 1, 1024)
    replica_runs: int = _limit(4, "Runs that decode at the same time in one replica.", 1, 64)
    replica_cpus: int = _limit(1, "Cores that Ray sets aside for one replica.", 0, 256)
    replica_gpus: int = _limit(0, "GPUs that Ray sets aside for one replica; a model is spread over more than one.", 0, 16)
    open_models: str = _limit(
        "auto", "What visitors may open besides the embedded models; auto is folders on loopback, none elsewhere.",
        choices=("auto", "none", "folders", "hub"),
    )
    decoders: str = _limit("", "Modules with decoders of your own, comma separated: imported at start, so name only what you trust.")
    loaded_max: int = _limit(4, "Models in memory at the same time.", 1, 64)
    max_running: int = _limit(4, "Runs that decode at the same time; a comparison, or many runs of one page, count as one.", 1, 64)
    max_queued: int = _limit(32, "Runs that may wait for their turn.", 0, 1024)
    visitor_runs: int = _limit(16, "Runs of one open page that run or wait at the same time.", 1, 1024)
    many_runs: int = _limit(32, "Runs that one visitor may ask for at once on the page of many runs.", 2, 256)
    canvas_max: int = _limit(1024, "Positions of a canvas, prompt and answer together.", 8, 8192)
    passes_max: int = _limit(4096, "Forward passes of one run.", 1, 65536)
    run_time_s: int = _limit(300, "Seconds that one run may take.", 1, 86400)
    paused_s: int = _limit(300, "Seconds that a run may stand paused, all its pauses together; then it goes on.", 1, 86400)
    pass_time_s: int = _limit(120, "Seconds after which a forward pass that does not come back is given up and its runs end.", 1, 3600)
    unread_s: int = _limit(15, "Seconds that a run goes on while nobody reads it.", 1, 86400)
    kept_runs: int = _limit(64, "Finished runs kept in memory for replay.", 1, 4096)
    kept_mb: int = _limit(512, "Megabytes that the finished runs kept in memory may take together.", 1, 1048576)
    sessions_max: int = _limit(256, "Open pages whose state is kept, about 0.5 MB each; beyond it the longest unused is forgotten.", 1, 65536)
    import_mb: int = _limit(32, "Megabytes of a run that a visitor hands in.", 1, 1024)
    explain_cells: int = _limit(4000000, "Values of an attribution matrix: written tokens times positions.", 1000, 100000000)
    auth: str = _limit("", "Logins asked of every visitor: a file with a line name:password for each, or the lines separated by commas.", secret=True)
    starts_per_minute: int = _limit(
        0, "Runs, branches, explanations and handed-in files that one address may begin in a minute; an explanation that is kept, "
        "or, once, gets twice the points of a kept one, is none. 0 sets no limit.", 0, 100000)
    metrics: str = _limit("off", "Whether /metrics tells counts to Prometheus.", choices=("off", "on"))
    log: str = _limit("text", "The log as lines of text or of JSON.", choices=("text", "json"))
    threads: int = _limit(0, "Threads of a forward pass on the CPU, 0 picks by model size; of an attribution by gradients, 0 takes all.", 0, 256)

    @classmethod
    def from_args(
        cls, argv: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> Settings:
        """Return the settings of this environment and command line.

        Raises ``RequestError`` that lists every value out of range, with its limits.
        """
        environment = os.environ if environment is None else environment
        given = {
            item.name: environment[f"UNMASK_{item.name.upper()}"]
            for item in fields(cls)
            if f"UNMASK_{item.name.upper()}" in environment
        }
        parsed = vars(_parser().parse_args(list(argv)))
        given |= {name: value for name, value in parsed.items() if value is not None}
        return cls._checked(given)

    @property
    def opening(self) -> str:
        """What visitors may open besides the embedded models: ``none``, ``folders`` or ``hub`` (and folders)."""
        if self.open_models != "auto":
            return self.open_models
        return "folders" if self.host in LOOPBACK else "none"

    @classmethod
    def _checked(cls, given: Mapping[str, str]) -> Settings:
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for item in fields(cls):
            if item.name not in given:
                continue
            try:
                values[item.name] = _value(item, given[item.name])
            except ValueError as error:
                problems.append(Problem(item.name, str(error)))
        if problems:
            raise RequestError(problems)
        return cls(**values)

    def describe(self) -> str:
        """Return one line per setting: name, value, range and what it means."""
        lines = []
        for item in fields(self):
            limits = f" ({limits_text(item)})" if limits_text(item) else ""
            value = getattr(self, item.name)
            if item.metadata["secret"]:
                value = "(given)" if value else "(none)"
            lines.append(f"{item.name:>17} = {value!s:<15} {item.metadata['help']}{limits}")
        return "\n".join(lines)


def limits_text(item: Any) -> str:
    """Return what a setting may be, in words; nothing for free text."""
    low, high, choices = (item.metadata[name] for name in ("low", "high", "choices"))
    return f"{low} to {high}" if low is not None else " or ".join(choices)


def _value(item: Any, text: str) -> Any:
    if not isinstance(item.default, int):
        choices = item.metadata["choices"]
        if choices and text not in choices:
            raise ValueError(f"{text!r} is not a choice; choose one of {', '.join(choices)}.")
        return text
    low, high = item.metadata["low"], item.metadata["high"]
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number; give {low} to {high}.") from None
    if not low <= value <= high:
        raise ValueError(f"{value} is outside {low} to {high}; give a value in that range.")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py", description="Unmask: watch a language model decide.", allow_abbrev=False
    )
    for item in fields(Settings):
        flag = "--" + item.name.replace("_", "-")
        parser.add_argument(flag, dest=item.name, metavar="VALUE", help=f"{item.metadata['help']} [{item.default}]")
    return parser
