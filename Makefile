# make demo · make test · make quick · make check · make bench · make faults: each sets up what it needs, then runs.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
BIN := .venv/bin
SNAKEMAKE := $(BIN)/python -m snakemake --cores $(CORES)
CODE := pipeline tests bench envs docs/pictures.py docs/refill.py docs/licences.py

# What a shell sets for other Pythons reaches neither the installation nor the runs.
unexport $(filter PYTHON%, $(.VARIABLES))
# A container's user may have no name and no folder to write caches into.
export LOGNAME ?= $(shell id -un 2>/dev/null)
ifneq ($(shell test -w "$$HOME" && echo writable), writable)
export HOME := $(CURDIR)/.home
endif
# An environment whose Python is gone, as after an upgrade of the system, is made again.
$(shell $(BIN)/python -c '' 2>/dev/null || rm -f .venv/ready .venv/ready-development)

.PHONY: system demo test quick check bench faults format clean

demo: .venv/ready
	@$(SNAKEMAKE) --configfile workflow/presets/demo.yaml -- train_attparsenet train_mask_guided
	@$(BIN)/python -m pipeline.show --results results/synthetic --model attparsenet --model mask_guided
	@echo
	@echo "To look at all of it, make the figures, then a report for any browser:"
	@echo "  .venv/bin/snakemake --configfile workflow/presets/demo.yaml --cores 2 \\"
	@echo "      -- figures_mask_guided"
	@echo "  .venv/bin/snakemake --configfile workflow/presets/demo.yaml --cores 2 \\"
	@echo "      --report report.html -- figures_mask_guided"

# TESTS names only some files, folders or tests: make test TESTS=tests/test_masks.py
TESTS ?= tests

test: .venv/ready-development
	@$(BIN)/python tests/run.py $(TESTS)

quick: .venv/ready-development
	@$(BIN)/python tests/run.py --marks "not slow and not slurm and not browser" $(TESTS)

# Everything that tests/faults can try, with the counts written into docs/trust.md: an hour or more.
# SHARE=0.2 tries a fifth of it.
faults: .venv/ready-development
	@$(BIN)/python tests/faults/run.py $(SHARE)

bench: .venv/ready
	@$(BIN)/python -m bench

check: .venv/ready-development
	$(BIN)/python -m ruff check $(CODE)
	$(BIN)/python -m ruff format --check $(CODE)
	$(BIN)/python -m snakefmt --check Snakefile workflow
	$(BIN)/python -m codespell_lib
	$(BIN)/python -m mypy
	$(BIN)/python -m snakemake --lint

format: .venv/ready-development
	$(BIN)/python -m ruff check --fix $(CODE)
	$(BIN)/python -m ruff format $(CODE)
	$(BIN)/python -m snakefmt Snakefile workflow

system:
	@$(if $(wildcard .venv/ready), $(BIN)/python, $(PYTHON)) envs/check_system.py

# A stamp is the last thing written: an interrupted installation is begun again. Programs are run
# as modules: their own first lines would name the folder that .venv was made in.
.venv/ready: envs/requirements.txt envs/constraints.txt envs/install.py | system
	@echo "Installing attparse into .venv, some minutes: 6 GB, or 2.2 GB without CUDA (README.md)."
	@$(PYTHON) envs/install.py envs/requirements.txt
	@touch $@

.venv/ready-development: .venv/ready envs/dlib.txt envs/development.txt
	@$(PYTHON) envs/install.py envs/dlib.txt envs/development.txt
	@touch $@

clean:
	rm -rf .venv .snakemake .home
