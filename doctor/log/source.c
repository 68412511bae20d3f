/* SPDX-License-Identifier: MIT */
/*
 * Where logs come from: files and streams, compressed or not, in blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "doctor/log/ahead.h"
#include "doctor/log/log.h"
#include "doctor/log/parser.h"
#include "doctor/log/pattern.h"

#define BLOCK_BYTES (256u * 1024)
/* From here on a file is worth threads. */
#define BIG_BYTES (8u * 1024 * 1024)
/* What a file may make a decompressor take. */
#define WINDOW_LOG_MAX 25
#define MEMORY_BYTES_MAX (40ull * 1024 * 1024)

struct source {
	int fd;
	const char *path;
	struct doctor_parser *parser;
	char *in, *out; /* BLOCK_BYTES each; out only where needed */
	size_t have;	/* bytes in @in */
	off_t bytes;	/* of a regular file; 0: of anything else */
};

/* Next block into @in. Return: bytes, 0 = end, or a negative errno. */
static ssize_t fill(struct source *source, struct reason *why)
{
	ssize_t got;

	do {
		got = read(source->fd, source->in, BLOCK_BYTES);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return reason_add(why, -errno, "%s: %s", source->path, strerror(errno));
	source->have = (size_t)got;
	return got;
}

static int broken(const struct source *source, const char *what, struct reason *why)
{
	return reason_add(why, -EBADMSG,
			  "%s: the %s data is broken or cut off; what came before was read",
			  source->path, what);
}

static int read_ahead(struct source *source, struct ahead *ahead, struct reason *why)
{
	struct ahead_block block;

	while ((block = ahead_next(ahead)).size > 0)
		doctor_parser_feed_ahead(source->parser, &block);
	if (block.size < 0)
		return reason_add(why, (int)block.size, "%s: %s", source->path,
				  strerror((int)-block.size));
	return 0;
}

static int read_plain(struct source *source, struct reason *why)
{
	struct ahead *ahead = NULL;
	ssize_t got;

	doctor_parser_feed(source->parser, source->in, source->have);
	if (source->bytes >= BIG_BYTES)
		ahead = ahead_create(source->fd, doctor_pattern_filter());
	if (ahead) {
		got = read_ahead(source, ahead, why);
		ahead_destroy(ahead);
		return (int)got;
	}
	while ((got = fill(source, why)) > 0)
		doctor_parser_feed(source->parser, source->in, source->have);
	return (int)got;
}

/* Return: 1 at a member's end, 0 when more input is needed, -EBADMSG. */
static int gzip_some(struct source *source, z_stream *z)
{
	int ret;

	do {
		z->next_out = (Bytef *)source->out;
		z->avail_out = BLOCK_BYTES;
		ret = inflate(z, Z_NO_FLUSH);
		doctor_parser_feed(source->parser, source->out, BLOCK_BYTES - z->avail_out);
		if (ret == Z_STREAM_END)
			return 1;
		if (ret != Z_OK && ret != Z_BUF_ERROR)
			return -EBADMSG;
	} while (z->avail_in || !z->avail_out);
	return 0;
}

static int read_gzip(struct source *source, struct reason *why)
{
	z_stream z = {.next_in = (Bytef *)source->in, .avail_in = (uInt)source->have};
	bool ended = false, any = false;
	ssize_t got = 1;
	int ret = 0;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return reason_add(why, -ENOMEM, "%s: out of memory", source->path);
	while (got > 0 && ret >= 0) {
		if (z.avail_in) {
			/* Files put one behind the other are one file; zeroes may fill the end. */
			if (ended && *z.next_in == 0)
				break;
			if (ended)
				inflateReset(&z);
			ret = gzip_some(source, &z);
			any |= ret >= 0;
			ended = ret == 1;
		}
		if (ret >= 0 && !z.avail_in) {
			got = fill(source, why);
			z.next_in = (Bytef *)source->in;
			z.avail_in = got > 0 ? (uInt)got : 0;
		}
	}
	inflateEnd(&z);
	if (got < 0)
		return (int)got;
	return ret < 0 || !ended || !any ? broken(source, "gzip", why) : 0;
}

static int read_xz(struct source *source, struct reason *why)
{
	lzma_stream xz = LZMA_STREAM_INIT;
	lzma_ret ret = lzma_stream_decoder(&xz, MEMORY_BYTES_MAX, LZMA_CONCATENATED);
	lzma_action action = LZMA_RUN;
	ssize_t got = 1;

	xz.next_in = (const uint8_t *)source->in;
	xz.avail_in = source->have;
	while (ret == LZMA_OK) {
		if (!xz.avail_in && action == LZMA_RUN) {
			got = fill(source, why);
			if (got < 0)
				break;
			xz.next_in = (const uint8_t *)source->in;
			xz.avail_in = (size_t)got;
			if (!got)
				action = LZMA_FINISH;
		}
		xz.next_out = (uint8_t *)source->out;
		xz.avail_out = BLOCK_BYTES;
		ret = lzma_code(&xz, action);
		doctor_parser_feed(source->parser, source->out, BLOCK_BYTES - xz.avail_out);
	}
	lzma_end(&xz);
	if (got < 0)
		return (int)got;
	if (ret == LZMA_MEMLIMIT_ERROR)
		return reason_add(why, -EBADMSG,
				  "%s: needs more than 40 MiB to be unpacked: run "
				  "xz -dc on it and give the result",
				  source->path);
	return ret != LZMA_STREAM_END ? broken(source, "xz", why) : 0;
}

static int read_zstd(struct source *source, struct reason *why)
{
	ZSTD_DStream *zstd = ZSTD_createDStream();
	ZSTD_inBuffer in = {.src = source->in, .size = source->have};
	ZSTD_outBuffer out = {.dst = source->out, .size = BLOCK_BYTES};
	size_t hint = 1;
	ssize_t got = 1;

	if (!zstd)
		return reason_add(why, -ENOMEM, "%s: out of memory", source->path);
	ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	while (got > 0) {
		do {
			out.pos = 0;
			hint = ZSTD_decompressStream(zstd, &out, &in);
			doctor_parser_feed(source->parser, source->out, out.pos);
		} while (!ZSTD_isError(hint) && (in.pos < in.size || out.pos == out.size));
		if (ZSTD_isError(hint))
			break;
		got = fill(source, why);
		in = (ZSTD_inBuffer){.src = source->in, .size = got > 0 ? (size_t)got : 0};
	}
	ZSTD_freeDStream(zstd);
	if (got < 0)
		return (int)got;
	return hint ? broken(source, "zstd", why) : 0;
}

static int read_source(struct source *source, struct reason *why)
{
	static const struct {
		const char *magic;
		size_t size;
		int (*read)(struct source *source, struct reason *why);
	} kinds[] = {
		{"\x1f\x8b", 2, read_gzip},
		{"\xfd"
		 "7zXZ\0",
		 6, read_xz},
		{"\x28\xb5\x2f\xfd", 4, read_zstd},
	};
	ssize_t got = fill(source, why);

	if (got <= 0)
		return (int)got;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (source->have >= kinds[i].size &&
		    !memcmp(source->in, kinds[i].magic, kinds[i].size)) {
			source->out = malloc(BLOCK_BYTES);
			if (!source->out)
				return reason_add(why, -ENOMEM, "%s: out of memory", source->path);
			return kinds[i].read(source, why);
		}
	return read_plain(source, why);
}

int doctor_log_file(struct doctor_parser *parser, const char *path, struct reason *why)
{
	bool is_stdin = !strcmp(path, "-");
	struct source source = {.path = is_stdin ? "stdin" : path, .parser = parser};
	struct stat about;
	int ret;

	source.fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (source.fd < 0)
		return reason_add(why, -errno, "%s: %s", path, strerror(errno));
	if (fstat(source.fd, &about))
		about = (struct stat){0};
	if (S_ISREG(about.st_mode))
		source.bytes = about.st_size;
	if (S_ISDIR(about.st_mode)) {
		ret = reason_add(why, -EISDIR, "%s is a folder: name a file in it", path);
	} else {
		source.in = malloc(BLOCK_BYTES);
		ret = source.in ? read_source(&source, why)
				: reason_add(why, -ENOMEM, "%s: out of memory", path);
	}
	free(source.in);
	free(source.out);
	if (!is_stdin)
		close(source.fd);
	return ret;
}
