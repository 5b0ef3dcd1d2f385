"""What a dictionary explains, beside other decompositions, chance and a ceiling; and which K and l1 to choose."""

from coxlmm.evaluation.bert_score import BertModel
from coxlmm.evaluation.choose import Candidate, Choice, choose
from coxlmm.evaluation.clip_score import ClipModel
from coxlmm.evaluation.evaluate import evaluate
from coxlmm.evaluation.recovery import Recovery, ValueRecovery, recovery
from coxlmm.evaluation.result import Evaluation
from coxlmm.evaluation.spread import Spread

__all__ = [
    "BertModel", "Candidate", "Choice", "ClipModel", "Evaluation", "Recovery", "Spread", "ValueRecovery", "choose",
    "evaluate", "recovery",
]  # fmt: skip
