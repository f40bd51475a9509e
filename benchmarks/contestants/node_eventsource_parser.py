"""The loop that one would write by hand in Node: fetch, eventsource-parser and JSON.parse."""

from benchmarks.node.process import NodeContestant, program


class Contestant(NodeContestant):
    command = program("eventsource_parser.mjs", package="eventsource-parser")
