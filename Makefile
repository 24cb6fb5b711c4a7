# Two commands for everybody, each from a bare clone with Python only:
#   make demo   install, then train on the embedded data set and print the table
#   make test   install, then run the tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Real graphs for the tests, where a checkout has them beside it.
GSPARSE_DATA ?= $(wildcard ../shared/datasets)
export GSPARSE_DATA

.PHONY: demo test test-scatter test-spark evidence docs lint clean

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch==2.13.0
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	-$(BIN)/pip install -q -c constraints.txt -e '.[lightning,scale]'  # else their tests are skipped
	touch $@

demo: $(BIN)/.installed
	$(BIN)/gsparse bench --dataset digits --model gat \
	  --method EffectiveResistance --method DSpar --method RandomEdge \
	  --sparsity 0.5,0.8 --seeds 3 --threads 1 --out runs/demo

# Two processes of one thread each: more threads than cores spin against each other.
# Tests of threads set their number themselves.
test: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile

# torch-scatter ships as source only; it is built against the installed torch.
test-scatter: $(BIN)/.installed
	$(BIN)/pip install -q setuptools wheel
	$(BIN)/pip install --no-build-isolation -c constraints.txt torch-scatter
	$(BIN)/pytest -q -n 2 --dist loadfile

# PySpark is a download of 434 MB, and needs Java 17.
test-spark: $(BIN)/.installed
	$(BIN)/pip install -q -c constraints.txt -e '.[spark]'
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/distributed

# Every published number has rows or a source, and every row a command.
evidence: $(BIN)/.installed
	$(BIN)/gsparse report docs/results --audit

# The documentation site, build/docs/index.html. Warnings are errors.
docs: $(BIN)/.installed
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

lint: $(BIN)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info runs
