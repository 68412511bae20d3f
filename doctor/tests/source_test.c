/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "doctor/tests/log_parse.h"
#include "tests/tap.h"

enum { LINES = 20000, BYTES = 4 << 20 };

static char *text, *packed;
static size_t text_size;

static void make_text(void)
{
	text = malloc(BYTES);
	packed = malloc(BYTES);
	if (!text || !packed)
		abort();
	for (int i = 0; i < LINES; i++)
		text_size +=
			(size_t)snprintf(text + text_size, BYTES - text_size,
					 "[%5d.000000] DMAR: [DMA Read NO_PASID] Request device "
					 "[3a:00.0] fault addr 0x%x000 [fault reason 0x06] x\n",
					 i, i * 7919 % 97);
}

static int read_back(const void *data, size_t size, struct parsed *parsed, struct reason *why)
{
	char path[] = "/tmp/tethys-source-XXXXXX";
	struct doctor_parser *parser;
	int fd = mkstemp(path), ret = -EIO;

	*parsed = (struct parsed){0};
	doctor_facts_init(&parsed->facts, &parsed->arena);
	parser = doctor_parser_create(&parsed->facts, path, DOCTOR_SIDE_HOST, NULL, NULL);
	if (fd >= 0 && write(fd, data, size) == (ssize_t)size)
		ret = doctor_log_file(parser, path, why);
	doctor_parser_finish(parser);
	doctor_parser_destroy(parser);
	close(fd);
	unlink(path);
	return ret;
}

/* All of it, then a part: what came before is read, and the rest is missed. */
static void expect_read(size_t size, const char *word)
{
	struct reason why = {""};
	struct parsed p;

	EXPECT_EQ(read_back(packed, size, &p, &why), 0);
	EXPECT_EQ(p.facts.log[0].lines, LINES);
	EXPECT_EQ(p.facts.count, 97);
	parsed_free(&p);
	EXPECT_EQ(read_back(packed, size * 3 / 4, &p, &why), -EBADMSG);
	EXPECT(p.facts.log[0].lines > 0 && p.facts.log[0].lines < LINES);
	EXPECT_HAS(why.text, word);
	parsed_free(&p);
	memset(packed + size / 2, 0x55, 64);
	EXPECT_EQ(read_back(packed, size, &p, NULL), -EBADMSG);
	parsed_free(&p);
}

static void test_source_plain(void)
{
	struct parsed p;

	EXPECT_EQ(read_back(text, text_size, &p, NULL), 0);
	EXPECT_EQ(p.facts.log[0].lines, LINES);
	EXPECT_EQ(p.facts.log[0].bytes, text_size);
	parsed_free(&p);
	EXPECT_EQ(read_back("", 0, &p, NULL), 0);
	parsed_free(&p);
}

/*
 * Beyond the size from which threads search ahead: long stretches without a fault, storms with more
 * of them than are noted of a block, and lines over the ends of blocks.
 */
static char *make_big(size_t bytes, size_t *ret_size)
{
	char *big = malloc(bytes + 256);
	size_t size = 0;

	for (unsigned int i = 0; big && size < bytes; i++) {
		bool storm = i % 40000 < 12000, lone = i % 997 == 0;

		size += (size_t)sprintf(big + size, "[%u.%06u] ", i / 1000, i % 1000);
		if (storm || lone)
			size += (size_t)sprintf(big + size,
						"DMAR: [DMA Write] Request device [3b:00.0] fault "
						"addr %x000 [fault reason 05] x\n",
						i * 31 % 211);
		else
			size += (size_t)sprintf(
				big + size, "usb %u: %.*s\n", i, (int)(i * 7 % 60),
				"an ordinary line of many an ordinary kernel, long");
	}
	*ret_size = size;
	return big;
}

static void test_source_big_file_is_read_as_in_one_piece(void)
{
	struct doctor_parser *parser;
	struct parsed whole = {0}, p;
	size_t size = 0;
	char *big = make_big(24 << 20, &size);

	ASSERT(big);
	doctor_facts_init(&whole.facts, &whole.arena);
	parser = doctor_parser_create(&whole.facts, "whole", DOCTOR_SIDE_HOST, NULL, NULL);
	doctor_parser_feed(parser, big, size);
	doctor_parser_finish(parser);
	doctor_parser_destroy(parser);
	EXPECT_EQ(read_back(big, size, &p, NULL), 0);
	EXPECT_EQ(p.facts.log[0].lines, whole.facts.log[0].lines);
	EXPECT_EQ(p.facts.log[0].bytes, size);
	EXPECT_EQ(whole.facts.count, 211);
	EXPECT_EQ(p.facts.count, whole.facts.count);
	for (size_t i = 0; i < p.facts.count && i < whole.facts.count; i++) {
		EXPECT_EQ(p.facts.fact[i].address, whole.facts.fact[i].address);
		EXPECT_EQ(p.facts.fact[i].count, whole.facts.fact[i].count);
		EXPECT_EQ(p.facts.fact[i].line, whole.facts.fact[i].line);
		EXPECT_EQ(p.facts.fact[i].last_line, whole.facts.fact[i].last_line);
		EXPECT_EQ(p.facts.fact[i].time_us, whole.facts.fact[i].time_us);
	}
	parsed_free(&p);
	parsed_free(&whole);
	free(big);
}

static void test_source_gzip(void)
{
	z_stream z = {.next_in = (Bytef *)text, .avail_in = (uInt)text_size};

	ASSERT_EQ(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = (Bytef *)packed;
	z.avail_out = BYTES;
	ASSERT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	expect_read(z.total_out, "gzip");
}

static void test_source_gzip_files_one_behind_the_other(void)
{
	static const char line[] = "TASK OK\n";
	struct parsed p;
	size_t size = 0;

	for (int i = 0; i < 3; i++) {
		z_stream z = {.next_in = (Bytef *)line, .avail_in = sizeof(line) - 1};

		ASSERT_EQ(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
		z.next_out = (Bytef *)packed + size;
		z.avail_out = 1000;
		ASSERT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
		deflateEnd(&z);
		size += z.total_out;
	}
	EXPECT_EQ(read_back(packed, size, &p, NULL), 0);
	EXPECT_EQ(p.facts.log[0].lines, 3);
	parsed_free(&p);
}

static void test_source_xz(void)
{
	size_t size = 0;

	ASSERT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, (uint8_t *)text, text_size,
					  (uint8_t *)packed, &size, BYTES),
		  LZMA_OK);
	expect_read(size, "xz");
}

static void test_source_zstd(void)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	size_t size;

	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	size = ZSTD_compress2(zstd, packed, BYTES, text, text_size);
	ZSTD_freeCCtx(zstd);
	ASSERT(!ZSTD_isError(size));
	expect_read(size, "zstd");
}

static void test_source_that_is_not_there(void)
{
	struct reason why = {""};
	struct parsed p = {0};
	struct doctor_parser *parser;

	doctor_facts_init(&p.facts, &p.arena);
	parser = doctor_parser_create(&p.facts, "x", DOCTOR_SIDE_HOST, NULL, NULL);
	EXPECT_EQ(doctor_log_file(parser, "/nonexistent/log", &why), -ENOENT);
	EXPECT_HAS(why.text, "/nonexistent/log");
	EXPECT_EQ(doctor_log_file(parser, "/tmp", &why), -EISDIR);
	doctor_parser_destroy(parser);
	parsed_free(&p);
}

int main(void)
{
	make_text();
	RUN(test_source_plain);
	RUN(test_source_big_file_is_read_as_in_one_piece);
	RUN(test_source_gzip);
	RUN(test_source_gzip_files_one_behind_the_other);
	RUN(test_source_xz);
	RUN(test_source_zstd);
	RUN(test_source_that_is_not_there);
	free(text);
	free(packed);
	return tap_done();
}
