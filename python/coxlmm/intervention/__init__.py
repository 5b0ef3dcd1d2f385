"""Whether a concept matters to what the model says: it is taken out of the states, or put in, and the model goes on."""

from coxlmm.intervention.directions import RandomChanges
from coxlmm.intervention.effects import measure_effects
from coxlmm.intervention.outcome import Intervention, NextWord, Positions, intervene

__all__ = ["Intervention", "NextWord", "Positions", "RandomChanges", "intervene", "measure_effects"]
