/* SPDX-License-Identifier: MIT */
/*
 * Records, whole and broken: the checker ends, keeps nothing, and its counts fit each other.
 *
 * Byte 0 of the input with its low bit set: the header is put before the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "card/record.h"
#include "lab/isolation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void judge(char *text, size_t bytes)
{
	struct lab_isolation result;
	struct reason why = {.text = ""};
	FILE *record = fmemopen(text, bytes, "r");
	int ret;

	if (!record)
		return;
	ret = lab_isolation_read(record, &result, &why);
	fclose(record);
	if (ret) {
		if (!why.text[0])
			abort();
		return;
	}
	if (result.refused + result.unknown > result.accesses ||
	    result.violations > result.accesses + result.messages ||
	    !result.violations != !result.first[0] ||
	    !memchr(result.first, '\0', sizeof(result.first)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const char header[] = CARD_RECORD_HEADER "\n";
	size_t head = bytes && data[0] & 1 ? strlen(header) : 0;
	char *text;

	if (bytes < 2)
		return 0;
	text = malloc(head + bytes - 1);
	if (!text)
		return 0;
	memcpy(text, header, head);
	memcpy(text + head, data + 1, bytes - 1);
	judge(text, head + bytes - 1);
	free(text);
	return 0;
}
