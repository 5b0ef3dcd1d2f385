"""Where in an image a concept is: heat maps, and curves that tell how faithful they are."""

from coxlmm.localisation.faithfulness import Faithfulness, faithfulness
from coxlmm.localisation.grid import Grid, grid_of
from coxlmm.localisation.localise import METHODS, as_heat, heat_maps_of, localise, methods_of
from coxlmm.localisation.maps import Method
from coxlmm.localisation.spoken import Spoken

__all__ = [
    "METHODS",
    "Faithfulness",
    "Grid",
    "Method",
    "Spoken",
    "as_heat",
    "faithfulness",
    "grid_of",
    "heat_maps_of",
    "localise",
    "methods_of",
]
