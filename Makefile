# privtrak: `make help` lists the targets.
CC      ?= cc
CLANG   ?= clang
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=

SBINDIR  ?= $(PREFIX)/sbin
BINDIR   ?= $(PREFIX)/bin
MANDIR   ?= $(PREFIX)/share/man
DOCDIR   ?= $(PREFIX)/share/doc/privtrak
UNITDIR  ?= $(PREFIX)/lib/systemd/system
USERDIR  ?= $(PREFIX)/lib/sysusers.d
CONFIG   ?= /etc/privtrak/tracker.yaml
STATEDIR ?= /var/lib/privtrak

PACKAGES = libevent libevent_openssl libevent_pthreads jansson libbsd-overlay yaml-0.1 libxxhash libsodium liburcu sqlite3 libpq libmariadb libcurl openssl

# Asked once, and only by what compiles: `make deps` and `make clean` work without the libraries.
PACKAGE_CFLAGS = $(eval PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES)))$(PACKAGE_CFLAGS)
PACKAGE_LIBS   = $(eval PACKAGE_LIBS := $(shell pkg-config --libs $(PACKAGES)))$(PACKAGE_LIBS)

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
OPTIMISE ?= -O2 -g
SANITISE ?=
# Programs are optimised over all files at once when they are linked, where gcc is the compiler; `LTO=` leaves that out.
ifeq ($(origin LTO),undefined)
LTO := $(if $(shell $(CC) -v 2>&1 | grep '^gcc version'),1)
endif
# Tests can be linked of these objects without it.
LTO_OBJECTS = $(if $(strip $(LTO)),-flto=auto -ffat-lto-objects)
# CPPFLAGS, CFLAGS, LDFLAGS and LDLIBS are left to whoever calls make; what the code needs stands here.
PREPROCESS = -Isrc -D_GNU_SOURCE $(PACKAGE_CFLAGS) $(CPPFLAGS)
C_FLAGS    = -std=gnu11 -pthread $(OPTIMISE) $(WARNINGS) $(SANITISE) $(CFLAGS)
COMPILE    = $(CC) $(PREPROCESS) $(C_FLAGS)
LINK       = $(CC) -pthread $(SANITISE) $(LDFLAGS)
LINK_ALL   = $(LINK) $(if $(strip $(LTO)),-flto=auto $(OPTIMISE))
LIBRARIES  = $(PACKAGE_LIBS) -lm $(LDLIBS)

CTL_SOURCES   := $(sort $(wildcard src/ctl/*.c))
BENCH_SOURCES := $(sort $(wildcard src/bench/*.c))
LIB_SOURCES   := $(filter-out $(CTL_SOURCES) $(BENCH_SOURCES),$(sort $(wildcard src/*/*.c src/*/*/*.c)))
UNIT_SOURCES  := $(sort $(wildcard tests/unit/test_*.c))
E2E_SOURCES   := $(sort $(wildcard tests/e2e/e2e_*.c))
HARNESS_SOURCES := $(sort $(wildcard tests/e2e/harness/*.c))
BENCHMARK_SOURCES := $(sort $(wildcard tests/bench/bench_*.c))
FUZZ_SOURCES  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
SOURCES       := $(LIB_SOURCES) src/main.c $(CTL_SOURCES) $(BENCH_SOURCES) $(UNIT_SOURCES) $(E2E_SOURCES) $(HARNESS_SOURCES) tests/plain_runner.c tests/faults/faults.c

objects       = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB_OBJECTS   := $(call objects,$(LIB_SOURCES))
PROGRAMS      := $(BUILD)/privtrakd $(BUILD)/privtrakctl $(BUILD)/privtrak-bench
UNIT_TESTS    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SOURCES))
E2E_TESTS     := $(patsubst tests/e2e/%.c,$(BUILD)/tests/%,$(E2E_SOURCES))
BENCHMARKS    := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCHMARK_SOURCES))
FUZZERS       := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SOURCES))

.PHONY: all
all: $(PROGRAMS) ## build privtrakd, privtrakctl and privtrak-bench into build/

# A stamp that changes with the compiler and its flags, so that objects of other flags are never mixed in.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(COMPILE) $(LINK_ALL)' | cmp -s - $@ || \
	    printf '%s\n' '$(COMPILE) $(LINK_ALL)' > $@

$(BUILD)/obj/src/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) $(LTO_OBJECTS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) -MMD -MP -c -o $@ $<

# The assembler includes the page, which the compiler's list of dependencies does not know.
$(BUILD)/obj/src/admin/dashboard.o: src/admin/dashboard.html

$(BUILD)/libprivtrak.a: $(LIB_OBJECTS)
	@rm -f $@
	@$(AR) qcs $@ $^

# What privtrakctl and privtrak-bench are made of, but for their main.c: for their unit tests.
$(BUILD)/libtools.a: $(call objects,$(filter-out %/main.c,$(CTL_SOURCES) $(BENCH_SOURCES)))
	@rm -f $@
	@$(AR) qcs $@ $^

$(BUILD)/libharness.a: $(call objects,$(HARNESS_SOURCES))
	@rm -f $@
	@$(AR) qcs $@ $^

$(BUILD)/privtrakd: $(BUILD)/obj/src/main.o $(BUILD)/libprivtrak.a
$(BUILD)/privtrakctl: $(call objects,$(CTL_SOURCES)) $(BUILD)/libprivtrak.a
$(BUILD)/privtrak-bench: $(call objects,$(BENCH_SOURCES)) $(BUILD)/libprivtrak.a
$(PROGRAMS):
	$(LINK_ALL) -o $@ $^ $(LIBRARIES)

# Stands between the daemon and the kernel in tests/torture. Never with a sanitiser: it is loaded before that one's own library.
$(BUILD)/faults.so: tests/faults/faults.c tests/faults/control.h $(BUILD)/flags
	$(CC) $(PREPROCESS) -std=gnu11 -O2 -g $(WARNINGS) -fPIC -fvisibility=hidden -shared -o $@ $<

# What runs the tests, where it is not Criterion's library: see tests/plain_runner.c.
RUNNER =

# One program a file of tests/unit; the daemon's tests likewise, with the harness.
$(UNIT_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(RUNNER) $(BUILD)/libtools.a $(BUILD)/libprivtrak.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LIBRARIES) $(if $(RUNNER),,-lcriterion)

$(E2E_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/e2e/%.o $(RUNNER) $(BUILD)/libharness.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LIBRARIES) $(if $(RUNNER),,-lcriterion)

.PHONY: deps deps-test deps-dev
deps: ## install what building and running needs, where it is missing (Debian)
	@scripts/deps.sh run
deps-test: ## the same for the tests: Criterion and real BitTorrent clients
	@scripts/deps.sh run test
deps-dev: ## the same for lint, fuzzing, coverage and benchmarks
	@scripts/deps.sh run test dev

# The second make starts when the first steps are done, and so finds what they installed.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

.PHONY: run
run: deps ## install what is missing, build, start the tracker with tracker.yaml
	@+$(SUBMAKE) $(BUILD)/privtrakd $(BUILD)/privtrakctl
	exec $(BUILD)/privtrakd -c tracker.yaml

.PHONY: test
test: deps-test ## install what is missing, build, run every test
	@+$(SUBMAKE) check

.PHONY: check unit e2e clients tests
tests: all $(UNIT_TESTS) $(E2E_TESTS) $(BUILD)/faults.so
SCRIPTS = tests/e2e/clients.sh tests/e2e/torture_quick.sh
check: tests ## build and run every test, installing nothing
	@BUILD='$(BUILD)' tests/run.sh $(UNIT_TESTS) $(E2E_TESTS) $(SCRIPTS)
unit: $(UNIT_TESTS) ## unit tests only
	@BUILD='$(BUILD)' tests/run.sh $(UNIT_TESTS)
e2e: all $(E2E_TESTS) ## tests of the real daemon only
	@BUILD='$(BUILD)' tests/run.sh $(E2E_TESTS)
clients: all ## files really shared between real clients only
	@BUILD='$(BUILD)' tests/run.sh tests/e2e/clients.sh

KILLS ?= 100
.PHONY: torture
torture: all $(BUILD)/faults.so ## kill, stop, lock, fill and tear the tracker under load for some minutes, and compare the accounts (KILLS=100)
	@BUILD='$(BUILD)' /usr/bin/python3 -B tests/torture/torture.py --kills '$(KILLS)'

.PHONY: check-asan check-tsan
ASAN = -fsanitize=address,undefined -fno-sanitize-recover=undefined
check-asan: ## every test under AddressSanitizer and UndefinedBehaviorSanitizer
	@+$(SUBMAKE) check BUILD=$(BUILD)/asan OPTIMISE='-O1 -g -fno-omit-frame-pointer' SANITISE='$(ASAN)' LTO=
check-tsan: ## every test under ThreadSanitizer
	@+TEST_SECONDS=600 $(SUBMAKE) check BUILD=$(BUILD)/tsan OPTIMISE='-O1 -g -fno-omit-frame-pointer' SANITISE='-fsanitize=thread' LTO= \
	    RUNNER='$(BUILD)/tsan/obj/tests/plain_runner.o' SCRIPTS=tests/e2e/clients.sh # the torture is too slow then to fill a disk

# Each fuzz target is one file of tests/fuzz, with its seeds in tests/fuzz/corpus/NAME.
FUZZ_SECONDS ?= 10
FUZZ_FLAGS = CC='$(CLANG)' BUILD=$(BUILD)/fuzzing LTO= OPTIMISE='-O1 -g -fno-omit-frame-pointer' \
    SANITISE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fsanitize=fuzzer-no-link'
.PHONY: fuzz fuzzers
$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/libprivtrak.a
	@mkdir -p $(@D)
	$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBRARIES)
fuzzers: $(FUZZERS)
fuzz: ## run each fuzz target for FUZZ_SECONDS (default 10)
	@+$(SUBMAKE) fuzzers $(FUZZ_FLAGS)
	@scripts/fuzz.sh '$(BUILD)/fuzzing/fuzz' '$(FUZZ_SECONDS)' $(notdir $(FUZZERS))

.PHONY: cover
cover: ## line and branch coverage of every test, as text and HTML in build/cover
	@+$(SUBMAKE) check BUILD=$(BUILD)/cover OPTIMISE='-O0 -g --coverage' LTO=
	@gcovr --root . --filter src/ --exclude-unreachable-branches --object-directory $(BUILD)/cover \
	    --html-details $(BUILD)/cover/index.html --txt $(BUILD)/cover/coverage.txt --print-summary $(BUILD)/cover/obj/src
	@echo 'details: $(BUILD)/cover/index.html'

# Programs that measure one part in process: one a file of tests/bench.
$(BENCHMARKS): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/libtools.a $(BUILD)/libprivtrak.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LIBRARIES)

CHAIN_OPTIONS ?= --sessions 1000000 --torrents 100000 --users 50000 --batch 1,8,16,64 --stages
.PHONY: bench bench-latency bench-peers bench-syscalls bench-chain bench-sink bench-journal bench-udp
bench: all ## the bare responder and the tracker in turn, and their ratios
	@BUILD='$(BUILD)' tests/bench/run-bench.sh
bench-latency: all ## latency at 20, 50 and 80 % of the top rate, with snapshots and expiry going on
	@BUILD='$(BUILD)' tests/bench/run-latency.sh
bench-peers: all ## the same load on privtrak, the floor, opentracker and OTHER=host:port
	@BUILD='$(BUILD)' tests/bench/run-peers.sh
bench-syscalls: all ## the system calls that a worker makes for a reply
	@BUILD='$(BUILD)' tests/bench/run-syscalls.sh
bench-chain: all ## the middleware chain alone, by batch size and stage (CHAIN_OPTIONS)
	$(BUILD)/privtrak-bench chain $(CHAIN_OPTIONS)
bench-sink: $(BUILD)/bench/bench_sink ## deltas a second into SQLite, PostgreSQL and MariaDB (SINK_OPTIONS)
	@BUILD='$(BUILD)' tests/bench/run-sink.sh $(SINK_OPTIONS)
bench-journal: $(BUILD)/bench/bench_journal ## CPU time of the journal a delta, and of a restart (JOURNAL_OPTIONS)
	$(BUILD)/bench/bench_journal $(JOURNAL_OPTIONS)
bench-udp: $(BUILD)/bench/bench_udp_frontend $(BUILD)/bench/bench_udp_parse ## what the UDP frontend costs beside the sockets
	$(BUILD)/bench/bench_udp_frontend
	$(BUILD)/bench/bench_udp_parse

C_FILES = $(shell git ls-files --cached --others --exclude-standard -- 'src/*.[ch]' 'tests/*.[ch]')
.PHONY: format lint lint-format lint-tidy lint-cppcheck lint-shell
format: ## lay out all C files by .clang-format
	@clang-format -i $(C_FILES)
lint: lint-format lint-cppcheck lint-tidy lint-shell ## clang-format, clang-tidy, cppcheck, and sh -n over the scripts
lint-format:
	@clang-format --dry-run -Werror $(C_FILES)
lint-cppcheck:
	@scripts/cppcheck.sh $(SOURCES)
lint-tidy: compile_commands.json
	@scripts/clang-tidy.sh $(SOURCES)
lint-shell:
	@for script in $$(git ls-files -- '*.sh' .ci/run); do bash -n "$$script" || exit 1; done

# For clang-tidy and editors.
compile_commands.json: Makefile FORCE
	@scripts/compile-commands.sh '$(CLANG) $(PREPROCESS) $(C_FLAGS)' $(SOURCES) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

.PHONY: install uninstall
SUBSTITUTE = sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e 's|@CONFIG@|$(CONFIG)|g' -e 's|@STATEDIR@|$(STATEDIR)|g'
install: all ## install under DESTDIR and PREFIX (default /usr/local)
	install -d '$(DESTDIR)$(SBINDIR)' '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man1' '$(DESTDIR)$(MANDIR)/man5' \
	    '$(DESTDIR)$(MANDIR)/man8' '$(DESTDIR)$(DOCDIR)/docs' '$(DESTDIR)$(DOCDIR)/examples' '$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(USERDIR)'
	install -m 755 $(BUILD)/privtrakd '$(DESTDIR)$(SBINDIR)/privtrakd'
	install -m 755 $(BUILD)/privtrakctl $(BUILD)/privtrak-bench '$(DESTDIR)$(BINDIR)/'
	install -m 644 docs/man/*.1 '$(DESTDIR)$(MANDIR)/man1/'
	sed -e '/@TRACKER_YAML@/{r tracker.yaml' -e 'd}' docs/man/tracker.yaml.5.in > '$(DESTDIR)$(MANDIR)/man5/tracker.yaml.5'
	chmod 644 '$(DESTDIR)$(MANDIR)/man5/tracker.yaml.5'
	install -m 644 docs/man/*.8 '$(DESTDIR)$(MANDIR)/man8/'
	install -m 644 README.md CHANGELOG.md LICENSE '$(DESTDIR)$(DOCDIR)/'
	install -m 644 docs/*.md docs/*.svg docs/openapi.yaml '$(DESTDIR)$(DOCDIR)/docs/'
	sed 's|^\( *state_dir:\) var\b|\1 $(STATEDIR)|' tracker.yaml > '$(DESTDIR)$(DOCDIR)/examples/tracker.yaml'
	$(SUBSTITUTE) packaging/privtrak.service > '$(DESTDIR)$(UNITDIR)/privtrak.service'
	$(SUBSTITUTE) packaging/privtrak.sysusers > '$(DESTDIR)$(USERDIR)/privtrak.conf'
	chmod 644 '$(DESTDIR)$(DOCDIR)/examples/tracker.yaml' '$(DESTDIR)$(UNITDIR)/privtrak.service' '$(DESTDIR)$(USERDIR)/privtrak.conf'
uninstall: ## remove what install put there; configuration and state stay
	rm -f '$(DESTDIR)$(SBINDIR)/privtrakd' '$(DESTDIR)$(BINDIR)/privtrakctl' '$(DESTDIR)$(BINDIR)/privtrak-bench' \
	    '$(DESTDIR)$(UNITDIR)/privtrak.service' '$(DESTDIR)$(USERDIR)/privtrak.conf'
	rm -f $(foreach page,privtrak-bench.1 tracker.yaml.5 privtrakd.8 privtrakctl.8,'$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(page)')
	rm -rf '$(DESTDIR)$(DOCDIR)'

.PHONY: clean
clean: ## remove build/; the tracker's state in var/ stays
	rm -rf $(BUILD) compile_commands.json

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | sort | while IFS="$$(printf '\t')" read -r target what; do \
	    printf '  make %-14s %s\n' "$$target" "$$what"; done
	@echo '  Variables: CC, BUILD, PREFIX, DESTDIR, OPTIMISE, SANITISE, LTO=, FUZZ_SECONDS'

.PHONY: FORCE
FORCE:
.SECONDARY:
-include $(patsubst %.o,%.d,$(call objects,$(SOURCES) $(FUZZ_SOURCES)))
