# Builds the C library (shared, static, pkg-config and CMake files), the Python extension in place, and runs the
# tests. Everything is written under build/, one folder per configuration. `make help` lists the targets.

PYTHON ?= python3
CLANG_FORMAT ?= clang-format
PREFIX ?= /usr/local
DESTDIR ?=
override PREFIX := $(abspath $(PREFIX))
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CFLAGS ?=
LDFLAGS ?=
BUILD ?= build

# The version has one source, the public header.
VERSION := $(shell sed -n 's/^\#define DN_VERSION "\(.*\)"/\1/p' include/dn.h)
SOVERSION := 0

# Flags of every object of the library. setup.py reads this one line too, so that wheels and `make` agree.
#   -std=c11               no dialect surprises; it also turns FMA contraction off in GCC, hence the next flag
#   -ffp-contract=fast     a*b+c may become one fused multiply-add, in GCC and Clang alike
#   -fno-math-errno        sqrtf, expf ... need not set errno, so they can be single instructions
#   -fno-trapping-math     nobody reads floating point exception flags, so branches may become vector selects
#   No -ffast-math: NaN stays NaN, sums keep their order.
CORE_CFLAGS := -std=c11 -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -D_POSIX_C_SOURCE=200809L -fvisibility=hidden -fPIC -pthread
CORE_LIBS := -lm -pthread
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow $(if $(filter 1,$(WERROR)),-Werror)
INCLUDES := -Iinclude -Isrc

# CONFIG selects a build folder and its extra flags: release, debug, asan or tsan.
CONFIG ?= release
EXTRA_release :=
EXTRA_debug := -O0 -g
EXTRA_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
EXTRA_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OBJECTS_DIR := $(BUILD)/$(CONFIG)
# Release products lie in build/ itself, the others beside their objects.
PRODUCT_DIR := $(if $(filter release,$(CONFIG)),$(BUILD),$(OBJECTS_DIR))
COMPILE = $(CC) $(CORE_CFLAGS) $(WARNINGS) $(INCLUDES) $(EXTRA_$(CONFIG)) $(CFLAGS) -MMD -MP
LINK = $(CC) $(EXTRA_$(CONFIG)) $(CFLAGS) $(LDFLAGS)

SOURCES := $(sort $(wildcard src/*/*.c src/*/*/*.c))
OBJECTS := $(SOURCES:%.c=$(OBJECTS_DIR)/%.o)
STATIC := $(PRODUCT_DIR)/libdn.a
SHARED := $(PRODUCT_DIR)/libdn.so

TESTS ?= $(sort $(wildcard tests/c/test_*.c))
TEST_HELPERS := $(filter-out tests/c/test_%.c,$(wildcard tests/c/*.c))
TEST_PROGRAMS := $(TESTS:%.c=$(OBJECTS_DIR)/%)
TEST_HELPER_OBJECTS := $(TEST_HELPERS:%.c=$(OBJECTS_DIR)/%.o)
BENCHMARKS := $(sort $(wildcard benchmarks/*.c))
BENCHMARK_PROGRAMS := $(BENCHMARKS:%.c=$(OBJECTS_DIR)/%)

C_FILES := $(wildcard include/*.h src/*/*.[ch] src/*/*/*.[ch] tests/c/*.[ch] benchmarks/*.[ch] examples/*.[ch])
PYTHON_FILES := setup.py $(wildcard darknet_py tests tools benchmarks examples)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all lib demo check python test test-c run-c-tests asan tsan bench format lint install clean help

all: lib $(BUILD)/dn.pc ## libdn.so, libdn.a and dn.pc in build/
lib: $(STATIC) $(SHARED)

# A changed flag rebuilds: the stamp's content is the command.
$(OBJECTS_DIR)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(COMPILE))' | cmp -s - $@ || echo '$(subst ','\'',$(COMPILE))' > $@
.PHONY: FORCE
FORCE:

$(OBJECTS_DIR)/%.o: %.c $(OBJECTS_DIR)/flags
	@mkdir -p $(@D)
	$(COMPILE) -c $< -o $@

# The list of sources is a prerequisite through the directory-independent stamp: a deleted file must leave the archive.
$(OBJECTS_DIR)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' > $@

$(STATIC): $(OBJECTS) $(OBJECTS_DIR)/sources
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $(OBJECTS)

$(SHARED): $(OBJECTS) $(OBJECTS_DIR)/sources
	@mkdir -p $(@D)
	$(LINK) -shared -Wl,-soname,libdn.so.$(SOVERSION) -o $@.$(SOVERSION) $(OBJECTS) $(CORE_LIBS)
	@ln -sf $(@F).$(SOVERSION) $@

define PKG_CONFIG
prefix=$(PREFIX)
libdir=$(LIBDIR)
includedir=$(INCLUDEDIR)

Name: dn
Description: Runtime for Darknet networks
Version: $(VERSION)
Libs: -L$${libdir} -ldn
Libs.private: $(CORE_LIBS)
Cflags: -I$${includedir}
endef

define CMAKE_CONFIG
# find_package(dn) gives the targets dn::dn (shared) and dn::dn_static.
get_filename_component(dn_library_dir "$${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
set(dn_VERSION "$(VERSION)")
find_package(Threads REQUIRED)
if(NOT TARGET dn::dn)
  add_library(dn::dn SHARED IMPORTED)
  set_target_properties(dn::dn PROPERTIES
    IMPORTED_LOCATION "$${dn_library_dir}/libdn.so"
    IMPORTED_SONAME "libdn.so.$(SOVERSION)"
    INTERFACE_INCLUDE_DIRECTORIES "$(INCLUDEDIR)")
  add_library(dn::dn_static STATIC IMPORTED)
  set_target_properties(dn::dn_static PROPERTIES
    IMPORTED_LOCATION "$${dn_library_dir}/libdn.a"
    INTERFACE_INCLUDE_DIRECTORIES "$(INCLUDEDIR)"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;m")
endif()
endef

define CMAKE_VERSION
set(PACKAGE_VERSION "$(VERSION)")
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
endef

# Rewritten only when PREFIX or the version changes the text.
export PKG_CONFIG CMAKE_CONFIG CMAKE_VERSION
$(BUILD)/dn.pc: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$PKG_CONFIG" | cmp -s - $@ || printf '%s\n' "$$PKG_CONFIG" > $@
$(BUILD)/dnConfig.cmake: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$CMAKE_CONFIG" | cmp -s - $@ || printf '%s\n' "$$CMAKE_CONFIG" > $@

$(BUILD)/dnConfigVersion.cmake: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$CMAKE_VERSION" | cmp -s - $@ || printf '%s\n' "$$CMAKE_VERSION" > $@

install: lib $(BUILD)/dn.pc $(BUILD)/dnConfig.cmake $(BUILD)/dnConfigVersion.cmake ## header, libraries, pkg-config and CMake files to DESTDIR/PREFIX
	install -d '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(LIBDIR)/cmake/dn'
	install -m 644 include/dn.h '$(DESTDIR)$(INCLUDEDIR)/dn.h'
	install -m 644 $(STATIC) '$(DESTDIR)$(LIBDIR)/libdn.a'
	install -m 755 $(SHARED).$(SOVERSION) '$(DESTDIR)$(LIBDIR)/libdn.so.$(SOVERSION)'
	ln -sf libdn.so.$(SOVERSION) '$(DESTDIR)$(LIBDIR)/libdn.so'
	install -m 644 $(BUILD)/dn.pc '$(DESTDIR)$(LIBDIR)/pkgconfig/dn.pc'
	install -m 644 $(BUILD)/dnConfig.cmake $(BUILD)/dnConfigVersion.cmake '$(DESTDIR)$(LIBDIR)/cmake/dn/'

# The two commands of the README: each makes its own environment in VENV, so nothing of the system is changed.
VENV ?= .venv
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# An editable install, so that Python started in this folder finds the compiled core, too.
demo: $(VENV)/bin/python ## installs into VENV and detects objects on the picture that ships
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e .
	$(VENV)/bin/darknet_py detect cfg/synth.cfg weights/synth.weights data/scene.png

check: $(VENV)/bin/python ## installs into VENV and runs all tests
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check '.[dev]'
	+$(MAKE) test-c
	$(VENV)/bin/pytest -q tests

python: ## darknet_py/_native in place, for running the package from this folder
	$(PYTHON) setup.py -q build_ext --inplace

test: test-c python ## C tests, then the Python tests
	$(PYTHON) -m pytest -q tests

test-c: run-c-tests ## builds and runs every tests/c/test_*.c

$(OBJECTS_DIR)/tests/c/test_%: $(OBJECTS_DIR)/tests/c/test_%.o $(TEST_HELPER_OBJECTS) $(STATIC)
	$(LINK) -o $@ $^ $(CORE_LIBS)

$(OBJECTS_DIR)/benchmarks/%: $(OBJECTS_DIR)/benchmarks/%.o $(STATIC)
	$(LINK) -o $@ $^ $(CORE_LIBS)

run-c-tests: $(TEST_PROGRAMS)
	@failed=0; for program in $(TEST_PROGRAMS); do \
	    echo "== $$program"; $$program || { echo "FAIL $$program"; failed=1; }; \
	done; exit $$failed

# The Python smoke run needs the sanitiser's runtime loaded before the interpreter. Leaks are the interpreter's own.
ASAN_RUNTIME = $(shell $(CC) -print-file-name=libasan.so)
ASAN_PYTHON := $(BUILD)/asan/python
ASAN_SMOKE ?= tests/test_interface.py
asan: ## C tests, and tests/test_interface.py, under the address and undefined behaviour sanitisers
	+$(MAKE) CONFIG=asan run-c-tests
	@if [ ! -e '$(ASAN_RUNTIME)' ]; then echo 'no libasan: Python smoke run skipped'; exit 0; fi; \
	CFLAGS='$(EXTRA_asan)' LDFLAGS='-fsanitize=address,undefined' \
	    $(PYTHON) setup.py -q build --build-lib=$(ASAN_PYTHON) --build-temp=$(ASAN_PYTHON)-objects && \
	cd $(ASAN_PYTHON) && LD_PRELOAD='$(ASAN_RUNTIME)' ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=. \
	    $(PYTHON) -m pytest -q -p no:cacheprovider $(abspath $(ASAN_SMOKE))

TSAN_TESTS ?= $(wildcard tests/c/test_thread*.c tests/c/test_session*.c)
tsan: ## the threaded C tests under the thread sanitiser
	+$(MAKE) CONFIG=tsan TESTS='$(TSAN_TESTS)' run-c-tests

bench: $(BENCHMARK_PROGRAMS) ## builds and runs every benchmarks/*.c
	@for program in $(BENCHMARK_PROGRAMS); do echo "== $$program"; $$program || exit 1; done

format: ## rewrites C and Python files in the project's style
	$(CLANG_FORMAT) -i $(C_FILES)
	$(PYTHON) -m ruff format $(PYTHON_FILES)
	$(PYTHON) -m ruff check --fix $(PYTHON_FILES)

lint: ## style and types; changes nothing
	$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)
	$(PYTHON) -m ruff format --check $(PYTHON_FILES)
	$(PYTHON) -m ruff check $(PYTHON_FILES)
	$(PYTHON) -m mypy

clean: ## removes build/ and the in-place extension
	rm -rf $(BUILD) dist *.egg-info darknet_py/_native.*.so

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10
	@echo 'Variables: CC CFLAGS LDFLAGS PREFIX DESTDIR BUILD PYTHON WERROR=1 CONFIG=release|debug|asan|tsan'

-include $(OBJECTS:.o=.d) $(TEST_PROGRAMS:%=%.d) $(BENCHMARK_PROGRAMS:%=%.d) $(TEST_HELPER_OBJECTS:.o=.d)
