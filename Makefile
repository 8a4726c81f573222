# make demo · make test · make check: each sets up what it needs, then runs.
PYTHON ?= python3
CORES ?= $(shell nproc)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint envs/constraints.txt
SNAKEMAKE := $(BIN)/python -m snakemake --cores $(CORES)
CODE := pipeline tests bench envs docs/pictures.py docs/refill.py

.PHONY: demo test check format clean

demo: .venv/ready
	@$(SNAKEMAKE) --configfile workflow/presets/demo.yaml -- train_attparsenet
	@$(BIN)/python -m pipeline.show --results results/synthetic --model attparsenet
	@echo
	@echo "To look at all of it, make the figures, then a report for any browser:"
	@echo "  .venv/bin/snakemake --configfile workflow/presets/demo.yaml --cores 2 \\"
	@echo "      -- figures_attparsenet"
	@echo "  .venv/bin/snakemake --configfile workflow/presets/demo.yaml --cores 2 \\"
	@echo "      --report report.html -- figures_attparsenet"

# A process for each file, two at once, the slow ones first: so many native libraries (MediaPipe,
# onnxruntime, dlib, torch) in one process have been seen to crash it. TESTS names some files only.
TESTS ?= tests/test_slurm.py tests/test_workflow.py \
	$(filter-out %/test_slurm.py %/test_workflow.py, $(shell find tests -name "test_*.py" | sort))

test: .venv/ready-development
	@printf '%s\n' $(TESTS) | xargs -P 2 -I{} sh -c \
		'out=$$($(BIN)/python -m pytest {} 2>&1); code=$$?; echo "{}"; echo "$$out"; exit $$code'

check: .venv/ready-development
	$(BIN)/python -m ruff check $(CODE)
	$(BIN)/python -m ruff format --check $(CODE)
	$(BIN)/python -m snakefmt --check Snakefile workflow
	$(BIN)/python -m mypy
	$(BIN)/python -m snakemake --lint

format: .venv/ready-development
	$(BIN)/python -m ruff check --fix $(CODE)
	$(BIN)/python -m ruff format $(CODE)
	$(BIN)/python -m snakefmt Snakefile workflow

# A stamp is the last thing written: an interrupted installation is begun again. Programs are run
# as modules: their own first lines would name the folder that .venv was made in.
.venv/ready: envs/requirements.txt envs/constraints.txt envs/check_system.py
	@$(PYTHON) envs/check_system.py
	@echo "Installing attparse into .venv: 2 GB, some minutes the first time."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(PIP) --requirement envs/requirements.txt
	@touch $@

.venv/ready-development: .venv/ready envs/dlib.txt envs/development.txt
	@$(PIP) --requirement envs/dlib.txt --requirement envs/development.txt
	@touch $@

clean:
	rm -rf .venv .snakemake
