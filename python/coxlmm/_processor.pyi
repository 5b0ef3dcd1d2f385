"""What the processor can execute."""

def instruction_sets() -> list[str]:
    """Names of builds of ``coxlmm._core`` that the processor and the operating system can execute, the fastest last."""
