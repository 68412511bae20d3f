/* SPDX-License-Identifier: MIT */
/* Between a test's process and the one that counts. */
#ifndef TETHYS_TESTS_KERNEL_ABI_RUNNER_H
#define TETHYS_TESTS_KERNEL_ABI_RUNNER_H

#define ABI_EXIT_PASSED 0
#define ABI_EXIT_FAILED 1
#define ABI_EXIT_SKIPPED 77

struct abi_runner {
	char skip[256]; /* why, written by the test's process */
};

extern struct abi_runner *abi_runner; /* shared memory */

#endif
