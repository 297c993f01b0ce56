# privtrak: `make help` lists the targets.
CC      ?= cc
BUILD   ?= build
PREFIX  ?= /usr/local
PACKAGES = libevent libevent_openssl libevent_pthreads jansson libbsd-overlay yaml-0.1 libxxhash libsodium liburcu sqlite3 libpq libcurl openssl

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
OPTIMISE ?= -O2 -g -fno-omit-frame-pointer
SANITISE ?=
CPPFLAGS += -Isrc -D_GNU_SOURCE -MMD -MP $(shell pkg-config --cflags $(PACKAGES))
CFLAGS   += -std=gnu11 -pthread $(OPTIMISE) $(WARNINGS) $(SANITISE)
LDFLAGS  += -pthread $(SANITISE)
LDLIBS   += $(shell pkg-config --libs $(PACKAGES)) -lm

LIB_SOURCES   := $(wildcard $(addprefix src/,$(addsuffix /*.c,base config tracker http udp middleware storage deltas deltas/sinks database admin)))
LIB_OBJECTS   := $(LIB_SOURCES:%.c=$(BUILD)/obj/%.o)
CTL_OBJECTS   := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard src/ctl/*.c))
BENCH_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard src/bench/*.c))
PROGRAMS      := $(BUILD)/privtrakd $(BUILD)/privtrakctl $(BUILD)/privtrak-bench
UNIT_TESTS    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/*.c))

.PHONY: all
all: $(PROGRAMS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/libprivtrak.a: $(LIB_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/privtrakd: $(BUILD)/obj/src/main.o $(BUILD)/libprivtrak.a
$(BUILD)/privtrakctl: $(CTL_OBJECTS) $(BUILD)/libprivtrak.a
$(BUILD)/privtrak-bench: $(BENCH_OBJECTS) $(BUILD)/libprivtrak.a
$(PROGRAMS):
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# One program a file of tests/unit.
$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libprivtrak.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcriterion

.PHONY: unit
unit: $(UNIT_TESTS)
	@for test in $(UNIT_TESTS); do echo "$$test"; $$test || exit 1; done

.PHONY: clean
clean:
	rm -rf $(BUILD)

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
