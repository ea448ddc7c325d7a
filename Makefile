# The commands of the project. `make` alone lists them.

# Waiting OpenMP threads spin only briefly: services/processes/verbs.py has the figures.
export GOMP_SPINCOUNT ?= 10000
# A test run starts some hundred processes. They share the compiled bytecode of their imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: help setup demo up down test test-fast test-long faults faults-ray test-slurm model-check chaos check fmt lock audit \
	digests soak bench bench-gpu bench-demo bench-separation bench-chat bench-platform bench-upload bench-web bench-data \
	bench-evals bench-reward bench-ppo bench-answers bench-loop bench-launchers paper

help:  ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^## / {printf "\n%s\n", substr($$0, 4)} \
		/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Start here

setup:  ## Install everything into .venv (other targets do this automatically)
	@$(PYTHON) -I tools/install.py && $(BIN)/python -m tools.build_page

demo:  ## Train on example pairs, then compare tuned model and base (ONCE=1: stop afterwards)
	@began=$$SECONDS; $(MAKE) --no-print-directory setup \
		&& ODDSMITH_INSTALL_S=$$((SECONDS - began)) $(BIN)/oddsmith demo

up: setup  ## Start the stack on loopback; Ctrl-C stops it
	@$(BIN)/oddsmith up

down: setup  ## Stop a stack that runs in the background
	@$(BIN)/oddsmith down

## Work on it

# Two processes: while one waits for an engine, the other can use its core.
test: setup  ## Run all tests except the long ones and the fault tests
	@$(BIN)/python -m pytest -n 2 -m "not faults and not long"

test-fast: setup  ## Run the unit and service tests only
	@$(BIN)/python -m pytest -n 2 -m "not stack and not engine and not slow and not faults and not long"

test-long: setup  ## Run longer versions of checks that `make test` contains
	@$(BIN)/python -m pytest -m "long and not faults"

faults: setup  ## Run all fault tests (half an hour); update the table in docs/reliability.md
	@$(BIN)/python -m pytest tests/faults tests/e2e/test_restore.py --faults-table docs/reliability.md

faults-ray: setup  ## Run rows 1, 2, 4, 7 and 12 and a lost node on a Ray cluster of two nodes
	@$(BIN)/python -m pytest tests/faults/test_training.py tests/faults/test_stores.py tests/faults/test_ray.py \
		--on-ray -k "(row_01 or row_02 or row_04 or row_07 or row_12 or lost_node) and not needs"

test-slurm: setup  ## Install Debian's Slurm and run trainings on a cluster of one node
	@apt-get install --quiet --quiet --yes slurmctld slurmd slurm-client munge
	@$(BIN)/python -m pytest tests/launchers/test_slurm.py

model-check: setup  ## Check the job protocol under seeded schedules, and without each guard
	@$(BIN)/python -m pytest -n 2 --dist worksteal tests/services/test_protocol.py

chaos: setup  ## Kill a random process of `oddsmith up` every 20 s for 5 minutes, under load
	@$(BIN)/python -m bench.chaos

soak: setup  ## Attack `oddsmith up` for 10 minutes; check another key and leaks (SOAK_S=60)
	@$(BIN)/python -m bench.soak

check: setup  ## Lint, types, layers, migrations against records, and the page
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m cli.stack.scratch check
	@$(BIN)/python -m tools.build_page check

fmt: setup  ## Format, and fix what can be fixed
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format
	@$(BIN)/python -m tools.build_page format

## Measure

bench: setup  ## Training speed and memory against TRL (40 minutes; ROUNDS=1: a first look)
	@$(BIN)/python -m bench.train $(if $(ROUNDS),--rounds $(ROUNDS))

bench-gpu: setup  ## The same with 1.2 and 8 billion weights on an H100 (10 minutes; SMALL=1: a trial)
	@$(BIN)/python -m bench.train --model llama-1b llama-8b --data dpo_en --rounds 2 $(if $(SMALL),--small)

bench-demo: setup  ## The demo's training on three seeds: accuracy and style, before and after
	@$(BIN)/python -m bench.demo

bench-separation: setup  ## Rejected answers after training with `supervised` and with `orpo`
	@$(BIN)/python -m bench.separation

paper: setup  ## Repeat the paper's figures at small scale: about an hour (DRAW=1: draw kept results)
	@$(BIN)/python -m examples.paper $(if $(DRAW),--draw) $(if $(ONLY),--only $(ONLY))

bench-ppo: setup  ## Rewards of held-out prompts before and after `ppo`, three seeds (30 minutes; SEEDS=0: one)
	@$(BIN)/python -m bench.ppo $(if $(SEEDS),--seeds $(SEEDS))

bench-chat: setup  ## The delay that the chat proxy adds to the first token
	@$(BIN)/python -m bench.chat_proxy --fake

bench-platform: setup  ## Requests, streams, metrics and uploads against bare probes (10 minutes)
	@$(BIN)/python -m bench.platform

bench-upload: setup  ## An upload of 1 GB: speed, and the server's memory
	@$(BIN)/python -m bench.upload

bench-loop: setup  ## Minutes, clicks and keys from the link of a running demo to the next run (6 minutes)
	@$(BIN)/python -m bench.first_loop

bench-web: setup  ## In a browser: a run of a million steps, and a list of 500 runs (8 minutes)
	@$(BIN)/python -m bench.web
	@$(BIN)/python -m bench.web_runs

bench-data: setup  ## Checking of 256 MB and of a million pairs: speed and memory (10 minutes)
	@$(BIN)/python -m bench.data

bench-evals: setup  ## IFEval's 541 answers checked; 10,000 judgments stored and summarised (30 s)
	@$(BIN)/python -m bench.evals

bench-launchers: setup  ## Time to the first step here and on a Ray cluster of two nodes (3 minutes)
	@$(BIN)/python -m bench.launchers

bench-answers: setup  ## Answers of an evaluation against the engine's own throughput (5 minutes)
	@$(BIN)/python -m bench.answers

bench-reward: setup  ## A reward model's held-out accuracy, and its time a pair beside ORPO's (5 minutes)
	@$(BIN)/python -m bench.reward

## Keep

audit: setup  ## List known vulnerabilities of locked packages (exit 2: advisories unreachable)
	@$(BIN)/python -m tools.audit

digests: setup  ## Pin the base images of the containers to their digests (needs Docker)
	@$(BIN)/python -m tools.digests

lock: setup  ## Resolve requirements.lock again; keep pins that still fit
	@$(BIN)/python -m tools.lock
