# walarch: archive module (walarch.so), SQL extension and command line (walarch)
#
# `make help` lists what there is to make.

EXTENSION   = walarch
DATA        = $(notdir $(wildcard $(SRC)walarch--*.sql))
MODULE_big  = walarch
PGFILEDESC  = "walarch - WAL archive module"

# Everything is found relative to this file, so that a build elsewhere works too
# (make -f /path/to/Makefile VPATH=/path/to).
SRC     := $(patsubst ./%,%,$(dir $(lastword $(MAKEFILE_LIST))))
sources  = $(patsubst $(SRC)%,%,$(wildcard $(addprefix $(SRC),$(1))))
objects  = $(patsubst %.c,%.o,$(call sources,$(1)))

# One list per layer; a file's layer decides what it may see.
PURE   = $(call objects,src/core/*.c src/store/*.c src/archive/*.c)
SERVER = walarch_module.o $(call objects,src/server/*.c)
CLI    = $(call objects,src/cli/*.c)
SECOND = $(call objects,src/recovery/*.c)

# Restoring is the command's work only; the server needs no lz4 and zlib.
CLI_ONLY = $(addprefix src/core/,sink_gzip.o sink_lz4.o) \
		   $(addprefix src/archive/,ancestry.o delivery.o fetch.o foreign.o handover.o hole.o \
			 postmaster.o prefetch.o trail.o unnamed.o window.o)

OBJS          = $(SERVER) $(filter-out $(CLI_ONLY),$(PURE))
PURE_LIBS     = -lzstd -lxxhash -lpthread
CLI_LIBS      = $(PURE_LIBS) -llz4 -lz
SHLIB_LINK    = $(PURE_LIBS)
SCRIPTS_built = walarch walarch-recovery
EXTRA_CLEAN   = $(CLI) $(SECOND) $(filter $(CLI_ONLY),$(PURE)) build

WA_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" $(SRC)walarch.control)

WARNINGS    = -Wall -Wextra -Wno-unused-parameter $(if $(WERROR),-Werror)
PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS   = $(WARNINGS)

# PostgreSQL's flags and headers were made for the compiler that built it.
ifneq (,$(findstring clang,$(shell $(CC) --version 2>/dev/null)))
PG_CFLAGS  += -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
			  -Wno-ignored-attributes
NOT_CLANG   = -flto% -ffat-lto-objects -fexcess-precision=%
endif

# Bitcode is useless here, and would need clang and double the build.
override with_llvm = no

comma := ,

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

.DEFAULT_GOAL := all

ifneq (,$(PGXS))
include $(PGXS)

ifneq (,$(VPATH))
$(shell mkdir -p $(sort $(dir $(OBJS) $(CLI) $(SECOND))))
endif

# Not every PostgreSQL was built with what distributions build with, and PGXS
# repeats how it was built. Whoever says something else is left alone; copies
# are checked only where the compiler optimises.
given     = $(filter $(1),$(CFLAGS) $(CPPFLAGS) $(LDFLAGS))
optimised = $(filter-out -O -O0,$(lastword $(filter -O%,$(CFLAGS))))
fortified = $(shell $(CC) $(CFLAGS) -dM -E -x c /dev/null 2>/dev/null | grep _FORTIFY_SOURCE)

ifeq (,$(call given,-fstack-protector% -fno-stack-protector%))
override CFLAGS += -fstack-protector-strong
endif
ifeq (,$(call given,-D_FORTIFY_SOURCE% -U_FORTIFY_SOURCE -fsanitize=%))
ifneq (,$(optimised))
ifeq (,$(fortified))
override CPPFLAGS += -D_FORTIFY_SOURCE=2
endif
endif
endif
ifeq (,$(call given,-Wl$(comma)-z$(comma)relro -Wl$(comma)-z$(comma)norelro))
override LDFLAGS += -Wl,-z,relro
endif
ifeq (,$(call given,-Wl$(comma)-z$(comma)now -Wl$(comma)-z$(comma)lazy))
override LDFLAGS += -Wl,-z,now
endif
ifeq (,$(call given,-no-pie -static))
PIE = -pie
endif

# The boundary, kept by the compiler: these files cannot see a server header.
HARDENING := $(filter -D_FORTIFY_SOURCE=% -U_FORTIFY_SOURCE -Wdate-time,$(CPPFLAGS))
override CFLAGS := $(filter-out $(NOT_CLANG),$(CFLAGS))

$(PURE) $(CLI) $(SECOND): override CPPFLAGS = -I$(srcdir)/src -D_GNU_SOURCE $(HARDENING)
$(SECOND): override CPPFLAGS += -I$(includedir)
$(PURE) $(CLI) $(SECOND): override CFLAGS += $(CFLAGS_SL) -fvisibility=hidden
$(CLI): override CPPFLAGS += -DWA_VERSION='"$(WA_VERSION)"'
$(CLI): walarch.control

# Debian's PGXS tracks no header, so any header rebuilds everything.
$(sort $(OBJS) $(PURE) $(CLI) $(SECOND)): $(wildcard $(SRC)src/*/*.h)
walarch.so walarch walarch-recovery: $(SRC)Makefile

walarch: $(CLI) $(PURE)
	$(CC) $(CFLAGS) $(PIE) $(filter %.o,$^) $(LDFLAGS) $(LDFLAGS_EX) $(CLI_LIBS) -o $@

# libpq would cost each restore_command some milliseconds of start-up.
walarch-recovery: $(SECOND) $(filter-out src/cli/main.o,$(CLI)) $(PURE)
	$(CC) $(CFLAGS) $(PIE) $(filter %.o,$^) $(LDFLAGS) $(LDFLAGS_EX) $(CLI_LIBS) -lpq -larchive -ljson-c -o $@

# Unit tests: each t/unit/NAME.c is a program that prints TAP. A sanitized
# variant has its objects and programs in a directory of its own.
VARIANT  = build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
UNIT     = *
UNIT_OBJECTS  = $(if $(SANITIZE),$(addprefix $(VARIANT)/,$(PURE)),$(PURE)) \
				$(addprefix $(VARIANT)/,$(call objects,t/lib/*.c))
UNIT_PROGRAMS = $(patsubst t/unit/%.c,$(VARIANT)/unit/%,$(call sources,$(UNIT:%=t/unit/%.c)))
FAULT_PROGRAMS = $(addprefix $(VARIANT)/unit/,push_fault fetch retention recovery_fault every_call store_trouble between bases)
MEMORY_PROGRAMS = $(addprefix $(VARIANT)/unit/,every_call no_memory between)
MEMORY_CALLS  = malloc calloc realloc free strndup wa_array_room ZSTD_createCCtx ZSTD_createDCtx \
				XXH3_createState inflateInit2_ LZ4F_createDecompressionContext \
				eventfd pthread_create
UNIT_CPPFLAGS = -I$(srcdir)/src -I$(srcdir)/t/lib -I$(srcdir)/t/fault -D_GNU_SOURCE
UNIT_CFLAGS   = -g $(if $(SANITIZE),-O1 -fsanitize=$(SANITIZE) -fno-sanitize-recover=all,-O2) \
				-fno-omit-frame-pointer $(WARNINGS)

# ThreadSanitizer does not start where addresses are very random.
ifeq ($(SANITIZE),thread)
UNIT_RUN := $(shell setarch -R true 2>/dev/null && echo setarch -R)
endif

$(VARIANT)/%.o: %.c $(wildcard $(SRC)src/*/*.h $(SRC)t/lib/*.h $(SRC)t/fault/*.h)
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $(UNIT_CPPFLAGS) -c $< -o $@

$(VARIANT)/unit/%: $(VARIANT)/t/unit/%.o $(UNIT_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $^ $(UNIT_WRAPS) $(CLI_LIBS) -o $@

# In these the n-th system call fails.
$(FAULT_PROGRAMS): $(VARIANT)/t/fault/faults.o

# In this one that of the second program, to which another libpq speaks.
RECOVERED = $(filter-out src/cli/main.o $(addprefix src/recovery/,main.o cmd_drill.o \
			  cmd_restore.o drill_%.o instance.o),$(CLI) $(SECOND))
$(VARIANT)/unit/recovery_fault: $(VARIANT)/t/fault/canned.o \
		$(if $(SANITIZE),$(addprefix $(VARIANT)/,$(RECOVERED)),$(RECOVERED))
$(VARIANT)/unit/recovery_fault: CLI_LIBS += -larchive -ljson-c
$(VARIANT)/t/fault/canned.o $(VARIANT)/t/unit/recovery_fault.o \
	$(addprefix $(VARIANT)/,$(RECOVERED)): \
	UNIT_CPPFLAGS += -I$(includedir) -DWA_VERSION='"$(WA_VERSION)"'

# This one needs a file of it, and nothing that libpq would.
$(VARIANT)/unit/scratch: $(if $(SANITIZE),$(VARIANT)/)src/recovery/scratch.o

# In these the n-th allocation does.
$(MEMORY_PROGRAMS): $(VARIANT)/t/fault/memory.o
$(MEMORY_PROGRAMS): UNIT_WRAPS = $(addprefix -Wl$(comma)--wrap=,$(MEMORY_CALLS))

.PRECIOUS: $(VARIANT)/%.o build/fuzz/%.o
.PHONY: unit unit-programs fuzz fuzz-programs

unit-programs: $(UNIT_PROGRAMS)

# The clock of the soak test's servers.
build/soak/clock.so: t/soak/clock.c
	@mkdir -p $(@D)
	$(CC) -O2 -g $(WARNINGS) -fPIC -fvisibility=hidden -D_GNU_SOURCE -shared $< -o $@

unit: unit-programs
	$(if $(UNIT_PROGRAMS),prove --exec '$(UNIT_RUN)' $(UNIT_PROGRAMS),@echo "no such unit test")

# Fuzz targets: each t/fuzz/NAME.c with an LLVMFuzzerTestOneInput is a program of
# libFuzzer (clang), linked with the shipped sources compiled for it. Of the
# archive the linker takes what a target calls, so that none needs libpq.
FUZZ          = *
FUZZ_CC       = clang
FUZZ_SHARED   = t/fuzz/memstore.c t/fuzz/wal.c
FUZZ_SOURCES  = $(filter-out $(FUZZ_SHARED),$(call sources,$(FUZZ:%=t/fuzz/%.c)))
FUZZ_PROGRAMS = $(FUZZ_SOURCES:t/fuzz/%.c=build/fuzz/%)
FUZZ_OBJECTS  = $(addprefix build/fuzz/,$(PURE) \
				  $(filter-out src/cli/main.o,$(CLI)) \
				  $(addprefix src/recovery/,manifest.o process.o target.o) \
				  $(FUZZ_SHARED:.c=.o) t/lib/fixture.o)
FUZZ_CFLAGS   = -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
				-fno-sanitize-recover=all $(WARNINGS) $(FUZZ_COVERAGE)

build/fuzz/t/fuzz/unpack.o: src/recovery/unpack.c

build/fuzz/%.o: %.c $(wildcard $(SRC)src/*/*.h $(SRC)t/lib/*.h $(SRC)t/fuzz/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link $(UNIT_CPPFLAGS) \
		-I$(srcdir)/t/fuzz -DWA_VERSION='"$(WA_VERSION)"' -c $< -o $@

build/fuzz/shared.a: $(FUZZ_OBJECTS)
	rm -f $@
	ar rcs $@ $^

$(FUZZ_PROGRAMS): build/fuzz/%: build/fuzz/t/fuzz/%.o build/fuzz/shared.a
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $^ $(CLI_LIBS) -larchive -ljson-c -o $@

fuzz-programs: $(FUZZ_PROGRAMS)

fuzz: fuzz-programs
	@$(SRC)t/fuzz/run.sh build/fuzz $(FUZZ_PROGRAMS:build/fuzz/%=%)

else
# Without the server's development files nothing can be built, but it can be
# said why, and `make test` and `make demo` can install what is missing.
.PHONY: all install installdirs uninstall installcheck unit unit-programs clean

all install installdirs uninstall installcheck unit unit-programs:
	@echo "walarch is built against PostgreSQL, and its development files are not here:" >&2
	@echo "'$(PG_CONFIG) --pgxs' names no file. Install postgresql-server-dev-NN (Debian," >&2
	@echo "Ubuntu; NN is the major version) or postgresqlNN-devel (Red Hat), or give" >&2
	@echo "PG_CONFIG=/path/to/pg_config. 'make demo' and 'make test' install on Debian" >&2
	@echo "and Ubuntu what they miss." >&2
	@exit 1

clean:
	rm -rf walarch walarch.so libwalarch.a libwalarch.pc $(OBJS) $(EXTRA_CLEAN)
endif

.PHONY: test matrix coverage power-cut soak demo bench provision help

# Both start make anew: only after provisioning can PGXS be read.
provision:
	@PG_CONFIG='$(PG_CONFIG)' $(SRC)t/provision.sh

test: provision
	@$(MAKE) -s --no-print-directory all unit-programs
	@PG_CONFIG='$(PG_CONFIG)' $(SRC)t/run.sh $(TESTS)

matrix:
	@PG_CONFIG='$(PG_CONFIG)' TESTS='$(TESTS)' $(SRC)t/matrix.sh $(MATRIX)

coverage: provision
	@PG_CONFIG='$(PG_CONFIG)' $(SRC)t/coverage/run.sh $(TESTS)

# The same tests as in `make test`, with nothing left out; each bound can be given.
POWER_STATES   ?= 100000
POWER_RESUMES  ?= 20
POWER_SEGMENTS ?= 24
POWER_CUTS     ?= 30
power-cut: export POWER_STATES := $(POWER_STATES)
power-cut: export POWER_RESUMES := $(POWER_RESUMES)
power-cut: export POWER_SEGMENTS := $(POWER_SEGMENTS)
power-cut: export POWER_CUTS := $(POWER_CUTS)
power-cut: provision
	@$(MAKE) -s --no-print-directory all
	@PG_CONFIG='$(PG_CONFIG)' $(SRC)t/run.sh 092_power_cut 093_power_fs

# Faults at random for so long. SOAK_SEED repeats the choice of them.
MINUTES ?= 60
soak: export SOAK_MINUTES := $(MINUTES)
soak: provision
	@$(MAKE) -s --no-print-directory all build/soak/clock.so
	@PG_CONFIG='$(PG_CONFIG)' $(SRC)t/run.sh soak

demo: provision
	@$(MAKE) -s --no-print-directory all
	@PG_CONFIG='$(PG_CONFIG)' $(SRC)t/demo.sh

bench: provision
	@$(SRC)t/provision.sh bench
	@$(MAKE) -s --no-print-directory all
	@PG_CONFIG='$(PG_CONFIG)' $(SRC)bench/run.sh

help:
	@echo "make              build the module walarch.so and the command walarch"
	@echo "make install      install both, and the SQL extension (DESTDIR is respected)"
	@echo "make uninstall    remove what install installed"
	@echo "make demo         lose a table and get it back, in a throw-away cluster"
	@echo "make test         all tests; TESTS='t/010_archive.pl sql/status.sql t/unit/codec.c'"
	@echo "                  runs only these, JOBS=N sets how many at a time, KEEP=1 keeps"
	@echo "                  the temporary directory"
	@echo "make matrix       all tests on PostgreSQL 15, 17, 18 and 19 and with clang, each in a"
	@echo "                  Debian of its own (root only); MATRIX='17 15/clang' chooses"
	@echo "make coverage     all tests with counters: the lines and branches they run"
	@echo "make bench        compare with cp, gzip, zstd, basic_archive and pgBackRest; takes"
	@echo "                  about half an hour, options in bench/README.md"
	@echo "make power-cut    the tests of power cuts at length; POWER_STATES, POWER_RESUMES,"
	@echo "                  POWER_SEGMENTS and POWER_CUTS bound them, POWER_SEED repeats"
	@echo "make soak         a primary and a standby under load for MINUTES=60 while the server"
	@echo "                  is killed, the archive goes away and the clock steps, at random;"
	@echo "                  nothing may be lost. SOAK_SEED repeats the choice"
	@echo "make unit         unit tests only; UNIT='pool*' chooses, SANITIZE=address,undefined"
	@echo "                  or SANITIZE=thread builds them apart with that sanitizer"
	@echo "make fuzz         each parser against hostile input, under libFuzzer (clang);"
	@echo "                  FUZZ_SECONDS=20 each, FUZZ='wal*' chooses, JOBS=N at a time"
	@echo "make clean        remove what was built"
	@echo "PG_CONFIG=PATH chooses the PostgreSQL; CC=clang and WERROR=1 work as expected."
	@echo "demo, test and bench install missing Debian packages by apt; nothing else does."
