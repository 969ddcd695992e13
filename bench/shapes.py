"""What a record of each shape costs target-cordial, beside a bare loop of `orjson` and `csv.writer` on the same records."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.messages import ATTRIBUTES, MORE_COLUMNS, messages, write_lines
from bench.runs import Contestant, Figures, measure
from bench.servers import cordial
from bench.setting import Setting, plugin
from bench.table import Line, at_least, at_most

Message: t.TypeAlias = dict[str, t.Any]

AIM = 0.8
AIM_OF_STREAM_MAP = 0.4
AIM_OF_VALIDATION = 0.3
MOST_SECONDS = 0.6
"""From start to end of a run, records aside."""
PART_OF_MEMBERS = 5
FEWER = 10


def _nested(message: Message, _: int) -> None:
    if message["type"] == "SCHEMA":
        message["schema"]["properties"]["city"] = {"type": "object"}
    else:
        message["record"]["city"] = {"name": message["record"]["city"]}


def _more_columns(message: Message, number: int) -> None:
    if message["type"] == "SCHEMA":
        message["schema"]["properties"] |= {name: {"type": ["string", "null"]} for name in MORE_COLUMNS}
    else:
        message["record"] |= {name: f"{name} of {number}" for name in MORE_COLUMNS}


def _not_ascii(message: Message, number: int) -> None:
    if message["type"] == "RECORD":
        message["record"] |= {
            "first_name": f"Łukasz {number}",
            "city": "東京",
            "interests": "café " * (number % 40),
        }


def _one_misfit_in_50(message: Message, number: int) -> None:
    if message["type"] == "RECORD" and number % 50 == 0:
        message["record"]["visit_count"] = "many"


def _unchanged(_: Message, __: int) -> None:
    """The records as they are."""


@dataclass(frozen=True)
class Shape:
    """What records look like, and what the target does with them.

    Attributes:
        name: For the table.
        change: Changes a SCHEMA or a RECORD message of a number in place.
        config: More settings of the target.
        streams: The records take turns in so many streams.
        aim: The least ratio.
    """

    name: str
    change: Callable[[Message, int], None] = _unchanged
    config: dict[str, t.Any] = field(default_factory=dict)
    streams: int = 1
    aim: float = AIM

    def messages(self, members: int) -> Iterator[Message]:
        """The input."""
        for number, message in enumerate(messages(members)):
            if message["type"] == "STATE":
                yield message
                continue
            self.change(message, number)
            names = [message["stream"], *(f"stream_{other}" for other in range(1, self.streams))]
            if message["type"] == "RECORD":
                names = [names[number % len(names)]]
            for name in names:
                yield {**message, "stream": name}


_MAPPING = {name: name for name in ATTRIBUTES}
SHAPES = [
    Shape("plain"),
    Shape(
        "with a nested mapped field",
        _nested,
        {"field_mapping": {("city.name" if name == "city" else name): name for name in ATTRIBUTES}},
    ),
    Shape(
        "with 60 more columns",
        _more_columns,
        {"field_mapping": {**_MAPPING, **{name: name for name in MORE_COLUMNS}}},
    ),
    Shape("with letters beyond ASCII", _not_ascii),
    Shape("one in 50 with a value that does not fit", _one_misfit_in_50),
    Shape("two streams in turn", streams=2),
    Shape(
        "with a stream map",
        config={"stream_maps": {"audience_members": {"first_name": "first_name or last_name"}}},
        aim=AIM_OF_STREAM_MAP,
    ),
    Shape("with validate_records", config={"validate_records": True}, aim=AIM_OF_VALIDATION),
]


def speed(setting: Setting) -> t.Iterator[Line]:
    """What one more record costs, in processor time: start and end of a run do not count.

    Args:
        setting: How much to measure: a fifth of its members, and a tenth of these.

    Yields:
        Lines of the table.
    """
    many = setting.members // PART_OF_MEMBERS
    few = many // FEWER
    out = str(setting.scratch / "out.csv")
    loop = setting.peers.python("orjson_csv", out)
    with cordial(setting.scratch / "cordial") as server:
        for number, shape in enumerate(SHAPES):
            config = setting.config(f"target-{number}", server.config(**shape.config))
            ours = plugin("target-cordial", "--config", config)
            inputs = {
                members: write_lines(setting.scratch / f"{number}-{members}.jsonl", shape.messages(members))
                for members in (few, many)
            }
            found = measure(
                [
                    Contestant(f"{name}, {members:,} records {shape.name}", command, path)
                    for members, path in inputs.items()
                    for name, command in (("target", ours), ("loop", loop))
                ],
                setting.rounds,
            )
            target_few, loop_few, target_many, loop_many = found.values()
            mine = _marginal(target_few, target_many, many - few)
            theirs = _marginal(loop_few, loop_many, many - few)
            yield at_least(
                f"a record {shape.name}, {mine:.1f} µs, against a bare loop, {theirs:.1f} µs",
                theirs / mine,
                shape.aim,
            )
            for path in inputs.values():
                path.unlink()


def _marginal(few: Figures, many: Figures, records: int) -> float:
    """Microseconds of processor time for each record more."""
    return (many.processor_seconds - few.processor_seconds) / records * 1e6


def start(setting: Setting) -> t.Iterator[Line]:
    """How long a run of one record takes from its start to its end.

    Args:
        setting: How often to measure.

    Yields:
        Lines of the table.
    """
    path = write_lines(setting.scratch / "one.jsonl", messages(1))
    with cordial(setting.scratch / "cordial") as server:
        ours = plugin("target-cordial", "--config", setting.config("target", server.config()))
        found = measure([Contestant("one record", ours, path)], setting.rounds)
    yield at_most("a run of one record, from start to end", found["one record"].seconds, MOST_SECONDS, "s")
