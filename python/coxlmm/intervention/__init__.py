"""Whether a concept matters to what the model says: it is taken out of the states, or put in, and the model goes on."""

from coxlmm.intervention.outcome import Intervention, NextWord, Positions, intervene

__all__ = ["Intervention", "NextWord", "Positions", "intervene"]
