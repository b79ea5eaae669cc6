"""Late fusion for items with context: recurrent states of what was expressed so far."""

from __future__ import annotations

from plait.core.errors import ConfigError
from plait.core.options import Count
from plait.fusion.opinion_pool import OpinionPool

__all__ = ["SpeakerStates"]


class SpeakerStates(OpinionPool):
    """An `OpinionPool` in which a context answers from a small recurrent state of what its segments express.

    After DialogueRNN (Majumder et al., "DialogueRNN: an attentive RNN for emotion detection in conversations", 2019):
    ``task.context: {before: n}`` has the paper's global state, ``own: n`` the state of the speaker. A context has
    the encoder and the head of its modality, so each of its tokens is answered as if it were the present one. A GRU
    over these answers in the order of time gives the state, and a linear layer on it what the context says of the
    present segment (`plait.tasks.heads.StateHead`). Departures: states see answers, where the paper's see features,
    which are many and overfit; no attention; there are no states of other speakers beside the global one.

    The state counts tokens: a context should have one per segment, or few. With many it learns far less.

    Args:
        modalities: their names.
        dim: width of their tokens.
        width: numbers in a state.

    Raises:
        ConfigError: a width below 1.

    >>> SpeakerStates(["text", "text.before"], 8).states
    16
    """

    def __init__(self, modalities: list[str], dim: int, *, width: Count = 16) -> None:
        super().__init__(modalities, dim)
        if width < 1:
            raise ConfigError(f"speaker_states: width {width}; expected 1 or more.")
        self.states = width
