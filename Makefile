# The two commands of a newcomer are `go run ./cmd/parvis demo` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: help build generate test test-go test-pg lint fuzz bench demo release

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

build: ## build bin/parvis, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/parvis ./cmd/parvis

generate: ## write the generated files again
	$(GO) tool templ generate
	$(GO) tool gofumpt -w internal/page internal/portal

test: lint test-go ## run every check and every test, starting what they need

test-go:
	scripts/test

test-pg: ## run the store's tests on a private PostgreSQL alone
	scripts/test ./internal/store/...

lint: ## gofumpt, vet, staticcheck, errorlint, generated files current
	scripts/lint

fuzz: ## fuzz every parser for FUZZTIME each (default 30s)
	scripts/fuzz

bench: ## benchmarks and load runs, with ratios against a plain reverse proxy
	scripts/bench

demo: ## start the demonstration city
	$(GO) run ./cmd/parvis demo

release: ## static binaries for linux/amd64 and linux/arm64, with checksums
	scripts/release
