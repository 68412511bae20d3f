/* SPDX-License-Identifier: MIT */
/*
 * JPEG through libjpeg. The library ends the process on errors unless told otherwise: here it jumps
 * back to the caller, so everything that outlives such a jump sits in one struct, never in a local
 * variable.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "image_formats.h"

#define JPEG_QUALITY 92
#define EXIF_MARKER (JPEG_APP0 + 1)
/* Real progressive files have about ten; each scan of a hostile one costs a pass over the photo. */
#define JPEG_SCANS_MAX 200

struct jpeg_guard {
	struct jpeg_error_mgr mgr; /* first: the library hands back a pointer to it */
	jmp_buf jump;
	int err;
	bool damaged;
	char text[JMSG_LENGTH_MAX];
};

struct jpeg_reader {
	struct jpeg_decompress_struct codec;
	struct jpeg_progress_mgr progress;
	struct jpeg_guard guard;
	struct image image;
};

struct jpeg_writer {
	struct jpeg_compress_struct codec;
	struct jpeg_guard guard;
	unsigned char *data;
	unsigned long bytes;
};

static void guard_fail(struct jpeg_guard *guard, int err)
{
	guard->err = err;
	longjmp(guard->jump, 1);
}

static void on_error(j_common_ptr codec)
{
	struct jpeg_guard *guard = (struct jpeg_guard *)codec->err;

	guard->mgr.format_message(codec, guard->text);
	guard_fail(guard, guard->mgr.msg_code == JERR_OUT_OF_MEMORY ? -ENOMEM : -EBADMSG);
}

/*
 * Level -1 is a warning. Only those that mean lost picture data count: many cameras write harmless
 * junk.
 */
static void on_message(j_common_ptr codec, int level)
{
	struct jpeg_guard *guard = (struct jpeg_guard *)codec->err;
	int code = guard->mgr.msg_code;

	if (level >= 0 || guard->damaged)
		return;
	if (code != JWRN_JPEG_EOF && code != JWRN_HIT_MARKER && code != JWRN_HUFF_BAD_CODE &&
	    code != JWRN_MUST_RESYNC)
		return;
	guard->damaged = true;
	guard->mgr.format_message(codec, guard->text);
}

static struct jpeg_error_mgr *guard_init(struct jpeg_guard *guard)
{
	jpeg_std_error(&guard->mgr);
	guard->mgr.error_exit = on_error;
	guard->mgr.emit_message = on_message;
	return &guard->mgr;
}

static void on_progress(j_common_ptr codec)
{
	struct jpeg_guard *guard = (struct jpeg_guard *)codec->err;

	if (((j_decompress_ptr)codec)->input_scan_number <= JPEG_SCANS_MAX)
		return;
	snprintf(guard->text, sizeof(guard->text), "More than %d scans", JPEG_SCANS_MAX);
	guard_fail(guard, -EBADMSG);
}

static unsigned int marker_orientation(const struct jpeg_decompress_struct *codec)
{
	for (jpeg_saved_marker_ptr m = codec->marker_list; m; m = m->next)
		if (m->marker == EXIF_MARKER)
			return image_exif_orientation(m->data, m->data_length);
	return 1;
}

static void reader_header(struct jpeg_reader *reader)
{
	j_decompress_ptr codec = &reader->codec;
	int err;

	jpeg_read_header(codec, TRUE);
	if (codec->jpeg_color_space == JCS_CMYK || codec->jpeg_color_space == JCS_YCCK) {
		strcpy(reader->guard.text, "CMYK colours can't be read");
		guard_fail(&reader->guard, -ENOTSUP);
	}
	err = image_create(codec->image_width, codec->image_height, &reader->image);
	if (err) {
		snprintf(reader->guard.text, sizeof(reader->guard.text), "%ux%u pixels: %s",
			 codec->image_width, codec->image_height, strerror(-err));
		guard_fail(&reader->guard, err);
	}
}

/* May jump to @reader->guard.jump at any line. */
static void reader_run(struct jpeg_reader *reader, const void *data, size_t bytes,
		       unsigned int *ret_orientation)
{
	j_decompress_ptr codec = &reader->codec;

	jpeg_create_decompress(codec);
	reader->progress.progress_monitor = on_progress;
	codec->progress = &reader->progress;
	jpeg_mem_src(codec, data, bytes);
	jpeg_save_markers(codec, EXIF_MARKER, 0xffff);
	reader_header(reader);
	codec->out_color_space = JCS_RGB;
	jpeg_start_decompress(codec);
	while (codec->output_scanline < codec->output_height) {
		JSAMPROW row = reader->image.rgb +
			       (size_t)codec->output_scanline * codec->output_width * 3;

		jpeg_read_scanlines(codec, &row, 1);
	}
	*ret_orientation = marker_orientation(codec);
	jpeg_finish_decompress(codec);
}

int image_jpeg_decode(const void *data, size_t bytes, struct image *ret_image,
		      unsigned int *ret_orientation, struct reason *why)
{
	struct jpeg_reader *reader = calloc(1, sizeof(*reader));
	int err;

	if (!reader)
		return reason_add(why, -ENOMEM, "JPEG: out of memory");
	reader->codec.err = guard_init(&reader->guard);
	if (!setjmp(reader->guard.jump))
		reader_run(reader, data, bytes, ret_orientation);
	if (reader->guard.damaged && !reader->guard.err)
		reader->guard.err = -EBADMSG;
	jpeg_destroy_decompress(&reader->codec);
	err = reader->guard.err;
	if (err) {
		reason_add(why, err, "JPEG: %s", reader->guard.text);
		image_deinit(&reader->image);
	} else {
		*ret_image = reader->image;
	}
	free(reader);
	return err;
}

static void writer_run(struct jpeg_writer *writer, const struct image *image)
{
	j_compress_ptr codec = &writer->codec;

	jpeg_create_compress(codec);
	jpeg_mem_dest(codec, &writer->data, &writer->bytes);
	codec->image_width = image->width;
	codec->image_height = image->height;
	codec->input_components = 3;
	codec->in_color_space = JCS_RGB;
	jpeg_set_defaults(codec);
	jpeg_set_quality(codec, JPEG_QUALITY, TRUE);
	jpeg_start_compress(codec, TRUE);
	while (codec->next_scanline < codec->image_height) {
		JSAMPROW row = image->rgb + (size_t)codec->next_scanline * image->width * 3;

		jpeg_write_scanlines(codec, &row, 1);
	}
	jpeg_finish_compress(codec);
}

int image_jpeg_encode(const struct image *image, void **ret_data, size_t *ret_bytes,
		      struct reason *why)
{
	struct jpeg_writer *writer = calloc(1, sizeof(*writer));
	int err;

	if (!writer)
		return reason_add(why, -ENOMEM, "JPEG: out of memory");
	writer->codec.err = guard_init(&writer->guard);
	if (!setjmp(writer->guard.jump))
		writer_run(writer, image);
	jpeg_destroy_compress(&writer->codec);
	err = writer->guard.err;
	if (err) {
		/* A size libjpeg can't write, not a damaged file. */
		err = err == -ENOMEM ? err : -EINVAL;
		reason_add(why, err, "JPEG: %s", writer->guard.text);
		free(writer->data);
	} else {
		*ret_data = writer->data;
		*ret_bytes = writer->bytes;
	}
	free(writer);
	return err;
}
