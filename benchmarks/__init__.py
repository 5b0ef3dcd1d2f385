"""coxlmm beside its peers: the same data, the same objective, the ratio in one run. See README.md."""
