"""What a chat model around another one passes through: its identity and the settings that LangChain reads."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import Field, SkipValidation

SETTINGS = ("name", "cache", "callbacks", "tags", "metadata", "rate_limiter", "output_version")
"""What a wrapper takes over from the model in it, so that both show as one run."""


class WrappedModel(BaseChatModel):
    """A chat model that answers through `model`, in the same run, and changes only what its subclass changes."""

    model: SkipValidation[BaseChatModel] = Field(exclude=True, repr=False)

    @property
    def _llm_type(self) -> str:
        return self.model._llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return dict(self.model._identifying_params)

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return self.model._get_invocation_params(stop=stop, **kwargs)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return self.model._get_ls_params(stop=stop, **kwargs)


def settings_of(model: BaseChatModel, *more: str) -> dict[str, Any]:
    """Return the settings that a wrapper around `model` takes over: `SETTINGS`, and `more` by name."""
    return {field: getattr(model, field) for field in (*SETTINGS, *more)}
