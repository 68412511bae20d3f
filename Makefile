# SPDX-License-Identifier: MIT
# The front door: every target is a script of its name. See CONTRIBUTING.md.
.PHONY: all build demo check soak bench install clean
all: build
build demo check soak bench install clean:
	@scripts/$@
