# SPDX-License-Identifier: GPL-2.0
# A static program for the guest, out of all .c files of a directory and the tests' library. The
# directory's Makefile sets PROGRAM (and INCLUDES, more header directories; or LINK and LIBS, for one that is not static) and
# includes this:
#   make -C DIRECTORY OUT=DIR [CROSS_COMPILE=…]

ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
LIB := ../../tests/guest
CFLAGS ?= -O2 -g0
LINK ?= -static
ALL_CFLAGS := -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes $(CPPFLAGS) $(CFLAGS) \
	      $(addprefix -I,$(LIB)/lib $(INCLUDES))

ifeq ($(OUT),)
$(error OUT=DIR is missing: where the program goes)
endif
OBJ := $(OUT)/obj
HEADERS := $(wildcard $(addsuffix /*.h,. $(LIB)/lib $(INCLUDES)))

$(OUT)/$(PROGRAM): $(patsubst %.c,$(OBJ)/%.o,$(wildcard *.c)) $(OBJ)/lib/obj/libguest.a
	$(CC) $(LINK) -pthread -o $@ $^ $(LIBS)

$(OBJ)/%.o: %.c $(HEADERS) | $(OBJ)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(OBJ)/lib/obj/libguest.a: FORCE
	@$(MAKE) -s -C $(LIB) OUT=$(abspath $(OBJ))/lib CFLAGS="$(CFLAGS)" $(abspath $@)

$(OBJ):
	mkdir -p $(OBJ)

FORCE:
.PHONY: FORCE
