"""Token counts: https://docs.z.ai/api-reference/llm/chat-completion (``usage``)."""

from msgspec import Struct


class PromptTokensDetails(Struct, kw_only=True, gc=False):
    """Split the prompt tokens."""

    cached_tokens: int = 0
    """Tokens read from the context cache; part of ``prompt_tokens``."""


class CompletionTokensDetails(Struct, kw_only=True, gc=False):
    """Split the completion tokens."""

    reasoning_tokens: int = 0
    """Tokens spent on thinking; part of ``completion_tokens``."""


class Usage(Struct, kw_only=True, gc=False):
    """Count the tokens of one call, as billed; all zero when the service did not say."""

    prompt_tokens: int = 0
    """Tokens of the request, cached ones included."""
    completion_tokens: int = 0
    """Tokens of the answer, thinking included."""
    total_tokens: int = 0
    """Both together."""
    prompt_tokens_details: PromptTokensDetails | None = None
    """Absent for some models."""
    completion_tokens_details: CompletionTokensDetails | None = None
    """Absent for some models."""

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens read from the context cache, 0 when not reported."""
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0

    @property
    def reasoning_tokens(self) -> int:
        """Completion tokens spent on thinking, 0 when not reported."""
        return (
            self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else 0
        )
