# Thin calls; what a step needs and how it gets it is said where it is done.
CARGO ?= cargo
# With the packages of judge-service/inference/tests/oracles/requirements.txt.
PYTHON ?= python3
# With PyTorch, as Debian's python3-torch gives it to Debian's own Python.
TORCH_PYTHON ?= /usr/bin/python3
# The filter is built for wasm by filter/build-wasm; natively it is only linted.
# The benchmark's ext_proc peer is built by it alone, optimised.
# With the judge's traces, which `serinus` has only when it is asked for.
NATIVE := --workspace --exclude serinus-filter --exclude serinus-bench-ext-proc --features serinus-cli/otel

.PHONY: help chromium schemathesis screenshot oracles oracles-torch bench-filter bench-inference bench-judge bench-rollback postgres sim demo demo-keep fuzz soak soak-durability soak-ecds test test-mlserver build wasm envoy lint format train contracts clean

help:
	@echo 'make demo       three releases of a real model in real Envoy, about a minute after the build'
	@echo 'make demo-keep  the same, and leave everything running to look at'
	@echo 'make test       every test'
	@echo 'make test-mlserver  MLServer with scikit-learn behind Envoy, and MLflow (installs 600 MB from PyPI once)'
	@echo 'make build      the filter (target/wasm), the judge (target/debug/serinus) and the demo'
	@echo 'make lint       rustfmt and clippy'
	@echo 'make bench-filter  what the filter adds to a request, beside Lua and ext_proc (target/bench)'
	@echo 'make bench-judge   reports a second, memory, and how fast a plan is everywhere, some minutes (target/bench)'
	@echo 'make bench-inference  samples a second beside onnxruntime and XGBoost, and how soon a sample counts (target/bench; needs the same packages as make oracles)'
	@echo 'make sim        false alarms and detection, ours beside peers, some minutes (target/bench, stats/docs)'
	@echo 'make fuzz       core fed with bytes for FUZZ_SECONDS (60), split over five targets'
	@echo 'make soak       a million requests and a thousand plans in real Envoy, about ten minutes (target/bench)'
	@echo 'make soak-durability  simulated workers, a faulty network and killed judges for SERINUS_SECONDS (300)'
	@echo 'make bench-rollback   from a bad answer to the last request of its version, beside peers, half an hour (target/bench)'
	@echo 'make soak-ecds  a thousand plans by ECDS into real Envoy, some minutes (target/bench)'
	@echo 'make oracles    models, inputs and outputs of other libraries again (needs tests/oracles/requirements.txt of judge-service/inference)'
	@echo 'make oracles-torch  the same of networks that PyTorch exports (needs PyTorch)'
	@echo 'make contracts  write openapi.json, plan.schema.json and rollout-fields.md as the code says'
	@echo 'make screenshot the picture of the page in README.md again, from the demo'
	@echo 'make train      train the demo models again (needs scikit-learn)'

demo: wasm envoy
	@echo 'building the judge, the model server and the demo (minutes, the first time)'
	$(CARGO) build --locked -p serinus-cli -p serinus-tests --bins
	target/debug/demo $(DEMO)

demo-keep:
	$(MAKE) demo DEMO=--keep

# Programs and tests in one build: what tests alone depend on turns features on, and apart
# from them the judge and half of what is below it would be built twice.
test: wasm envoy postgres chromium schemathesis
	$(CARGO) build --locked $(NATIVE) --bins --tests
	$(CARGO) test --locked $(NATIVE)

test-mlserver: wasm envoy
	@echo "MLServer: $$(tests/get-mlserver)"
	$(CARGO) build --locked $(NATIVE) --bins --tests
	$(CARGO) test --locked $(NATIVE) --test mlserver

build: wasm
	$(CARGO) build --locked -p serinus-cli -p serinus-tests --bins

wasm:
	filter/build-wasm

envoy:
	@echo "Envoy: $$(envoy/get-envoy)"

postgres:
	@echo "PostgreSQL: $$(tests/postgres-server --programs)"

chromium:
	@echo "Chromium: $$(tests/get-chromium | head -n 1)"

schemathesis:
	@echo "Schemathesis: $$(tests/get-schemathesis)"

screenshot: wasm envoy chromium
	$(CARGO) build --locked -p serinus-cli -p serinus-tests --bins
	$(CARGO) test --locked -p serinus-tests --test browser -- --ignored --exact picture::the_readme_shows_a_release

bench-filter: wasm envoy
	$(CARGO) build --locked --release -p serinus-bench-ext-proc
	$(CARGO) test --locked -p serinus-tests --bench filter

bench-judge: wasm envoy postgres
	@echo 'building the judge in the release profile (minutes, the first time)'
	$(CARGO) build --locked --release -p serinus-cli
	$(CARGO) build --locked -p serinus-tests --bin bench-judge
	target/debug/bench-judge $(PART)

bench-inference:
	$(CARGO) build --locked --release -p serinus-inference --example throughput
	$(PYTHON) judge-service/inference/benches/inference.py \
		--ours target/release/examples/throughput --to target/bench/inference.json
	$(CARGO) build --locked --release -p serinus-cli
	$(CARGO) build --locked -p serinus-tests --bin bench-judge
	target/debug/bench-judge samples

sim:
	$(CARGO) build --locked -p serinus-tests --bin sim
	target/debug/sim $(SIM)

fuzz:
	filter/core/fuzz/run

soak: wasm envoy
	$(CARGO) build --locked -p serinus-cli -p serinus-tests --bins
	$(CARGO) test --locked -p serinus-tests --test e2e -- --ignored --nocapture --exact \
		soak::memory_settles_over_a_million_requests

soak-durability:
	$(CARGO) build --locked -p serinus-cli -p serinus-tests --bins
	$(CARGO) test --locked -p serinus-tests --test durability -- --ignored --nocapture

bench-rollback: wasm envoy
	$(CARGO) build --locked -p serinus-cli -p serinus-tests --bins
	target/debug/rollback $(ROLLBACK)

soak-ecds: wasm envoy
	$(CARGO) build --locked -p serinus-cli -p serinus-tests --bins
	$(CARGO) test --locked -p serinus-tests --test e2e -- --ignored --nocapture --exact \
		ecds::memory_settles_over_a_thousand_pushes

lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path filter/core/fuzz/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --exclude serinus-bench-ext-proc --features serinus-cli/otel --all-targets -- -D warnings

format:
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path filter/core/fuzz/Cargo.toml

oracles:
	$(PYTHON) judge-service/inference/tests/oracles/oracles.py

oracles-torch:
	$(TORCH_PYTHON) judge-service/inference/tests/oracles/torch_exports.py

contracts:
	SERINUS_WRITE=1 $(CARGO) test --locked $(NATIVE) --lib --bins committed

train:
	python3 tests/models/train.py

clean:
	$(CARGO) clean
