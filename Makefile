# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Needs make, git and python3; everything else is installed by the first target that needs it.
PYTHON ?= python3
IN_VENV := $(PYTHON) -m tools.venv run python -m
STAGES := $(IN_VENV) tools.stages

.DEFAULT_GOAL := help
.PHONY: help venv manifest readme lint unit cores lab lab-status lab-tests molecule demo test faults bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  LAB_ARGS, PYTEST_ARGS, MOLECULE_ARGS, BENCH_ARGS and SCENARIO reach the commands below their target."

venv: ## Make the virtual environment with the pinned requirements, and print where it is
	@$(PYTHON) -m tools.venv

manifest: ## Write the list of packaged files after files came or went
	@$(IN_VENV) tools.tree manifest

readme: ## Write the variable tables of the role READMEs from the argument specs
	@$(IN_VENV) tools.role_readme --write

lint: ## Run every static gate on the built and installed collection
	@$(STAGES) lint

unit: ## Run the unit and contract tests on the built and installed collection
	@$(STAGES) unit

cores: ## Run sanity and unit tests on the other releases of ansible-core (requirements/cores.txt)
	@$(STAGES) cores

lab: ## Bring the Kubernetes lab up, or find it up
	@$(STAGES) lab

lab-status: ## Say what of the lab is up
	@$(PYTHON) -m lab status

lab-tests: ## Run the tests that need a real API server (tests/lab)
	@$(STAGES) lab lab-tests

molecule: ## Run a molecule scenario on the lab (SCENARIO=default)
	@$(STAGES) lab molecule

demo: ## Install a registry in the lab, push and pull an image through it, and say how to use it
	@$(STAGES) lab demo

test: ## Everything: lint, unit, lab, lab-tests, all scenarios of molecule
	@$(STAGES) lint unit lab lab-tests scenarios

faults: ## Break things while the registry works, for hours (molecule/faults, docs/faults.md)
	@$(STAGES) lab faults

bench: ## Measure against other tools in one run (tests/bench)
	@$(STAGES) lab bench

clean: ## Take the lab down, stop what it started, remove its state; build caches stay
	@$(PYTHON) -m lab clean
