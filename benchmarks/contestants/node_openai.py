"""openai-node over the fetch of Node; retries are off."""

from benchmarks.node.process import NodeContestant, program


class Contestant(NodeContestant):
    command = program("openai.mjs", package="openai")
