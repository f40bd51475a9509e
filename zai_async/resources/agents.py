"""``zai.agents``: translation, slides, video effects and more."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import (
    AgentConversationParams,
    AgentParams,
    AgentReply,
    AgentResultParams,
)
from zai_async.resources.resource import Resource
from zai_async.streams import AgentStream
from zai_async.tasks import AGENTS, Task, submit_agent

__all__ = ["Agents"]


class Agents(Resource):
    """``zai.agents``."""

    async def invoke(self, **params: Unpack[AgentParams]) -> AgentReply:
        """Call an agent and wait for its answer, or for the ``async_id`` of its task.

        A request that may have arrived is not sent again. A refusal is raised, although the
        platform reports it with HTTP 200.

        Source: https://docs.z.ai/api-reference/agents/agent
        """
        return await self._manager.call(ep.AGENT, params)

    def stream(self, **params: Unpack[AgentParams]) -> AgentStream:
        """Call an agent and receive its work while it goes on.

        Nothing is sent before the stream is entered with ``async with`` or read. The slides agent
        can only be streamed.

        Source: https://docs.z.ai/api-reference/agents/agent
        """
        return AgentStream(self._manager.begin(ep.AGENT_STREAM, params))

    async def submit(self, **params: Unpack[AgentParams]) -> Task[AgentReply]:
        """Submit work to an agent, such as a video; one that answers at once is done at once.

        Raises:
            SubmitUnknownError: Nobody knows whether it was accepted; it is not submitted again.

        Source: https://docs.z.ai/api-reference/agents/agent
        """
        return await submit_agent(self._manager, ep.AGENT, params)

    def task(self, **params: Unpack[AgentResultParams]) -> Task[AgentReply]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet.

        Source: https://docs.z.ai/api-reference/agents/get-async-result
        """
        return Task(AGENTS, params, engine=self._manager)

    async def conversation(self, **params: Unpack[AgentConversationParams]) -> AgentReply:
        """Fetch the slides of a conversation with ``slides_glm_agent``.

        Source: https://docs.z.ai/api-reference/agents/agent-conversation
        """
        return await self._manager.call(ep.AGENT_CONVERSATION, params)
