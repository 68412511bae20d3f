/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "preprocess.h"

#define SIDE_MAX 16384
#define RGB 3

struct family {
	bool bgr;
	bool middle;	   /* cut the middle out; else the whole photo, top left */
	float mean[RGB];   /* all in the channel order of the network; of values 0-255 */
	float factor[RGB]; /* after the mean is taken off */
	float blank[RGB];  /* value 0-255 of what the photo doesn't cover */
};

static const struct family families[PREPROCESS_NR] = {
	/* Means and deviations of ImageNet, as torchvision has them. */
	[PREPROCESS_CLASSIFY] =
		{
			.middle = true,
			.mean = {0.485f * 255, 0.456f * 255, 0.406f * 255},
			.factor = {1 / (0.229f * 255), 1 / (0.224f * 255), 1 / (0.225f * 255)},
		},
	[PREPROCESS_RETINAFACE] =
		{
			.bgr = true,
			.mean = {104, 117, 123},
			.factor = {1, 1, 1},
			.blank = {104, 117, 123},
		},
	[PREPROCESS_TINY_FACE] =
		{
			.mean = {117.001f, 114.697f, 97.404f},
			.factor = {1 / 255.0f, 1 / 255.0f, 1 / 255.0f},
		},
};

/* Where elements are, counted in elements. */
struct layout {
	size_t width, height; /* pixels */
	size_t channel_step, column_step, row_step;
	bool raw; /* uint8 */
};

/* Which part of the resized photo is seen; it covers the tensor from the top left corner. */
struct fit {
	size_t resized_w, resized_h;
	size_t skip_x, skip_y;
	size_t seen_w, seen_h;
	double scale;
};

/* The two photo pixels a resized one lies between, and how far towards the second. */
struct tap {
	uint32_t first, second;
	float part;
};

static int find_layout(const struct task_tensor *input, struct layout *ret_layout)
{
	const uint64_t *dims = input->dims;
	bool planes = dims[1] == RGB, raw = input->dtype == METIS_U8;
	size_t h = planes ? dims[2] : dims[1], w = planes ? dims[3] : dims[2];

	if (input->ndims != 4 || dims[0] != 1 || (!planes && dims[3] != RGB))
		return -ENOTSUP;
	if (!raw && input->dtype != METIS_F32)
		return -ENOTSUP;
	if (!w || !h || w > SIDE_MAX || h > SIDE_MAX)
		return -ENOTSUP;
	*ret_layout = (struct layout){
		.width = w,
		.height = h,
		.channel_step = planes ? w * h : 1,
		.column_step = planes ? 1 : RGB,
		.row_step = planes ? w : w * RGB,
		.raw = raw,
	};
	return 0;
}

/* At least @least: a very narrow photo still has one pixel, and a cut never goes past the edge. */
static size_t scaled(uint32_t side, double scale, size_t least)
{
	double pixels = round(side * scale);

	return pixels < least ? least : (size_t)pixels;
}

/* Shortest side 8/7 of the input's (256 for 224), then the middle. */
static struct fit fit_middle(const struct image *photo, const struct layout *layout)
{
	double x = round(layout->width * 8.0 / 7) / photo->width;
	double y = round(layout->height * 8.0 / 7) / photo->height;
	double scale = x > y ? x : y;
	struct fit fit = {
		.resized_w = scaled(photo->width, scale, layout->width),
		.resized_h = scaled(photo->height, scale, layout->height),
		.seen_w = layout->width,
		.seen_h = layout->height,
		.scale = scale,
	};

	fit.skip_x = (fit.resized_w - fit.seen_w) / 2;
	fit.skip_y = (fit.resized_h - fit.seen_h) / 2;
	return fit;
}

static struct fit fit_whole(const struct image *photo, const struct layout *layout)
{
	double x = (double)layout->width / photo->width, y = (double)layout->height / photo->height;
	struct fit fit = {.scale = x < y ? x : y};

	fit.resized_w = scaled(photo->width, fit.scale, 1);
	fit.resized_h = scaled(photo->height, fit.scale, 1);
	fit.seen_w = fit.resized_w;
	fit.seen_h = fit.resized_h;
	return fit;
}

static struct tap tap_at(size_t resized_pixel, uint32_t photo_side, size_t resized_side)
{
	double at = (resized_pixel + 0.5) * photo_side / resized_side - 0.5;
	uint32_t last = photo_side - 1;
	struct tap tap;

	if (at < 0)
		at = 0;
	if (at > last)
		at = last;
	tap.first = (uint32_t)at;
	tap.second = tap.first < last ? tap.first + 1 : last;
	tap.part = (float)(at - tap.first);
	return tap;
}

/*
 * One row of floats, R, G and B each on its own: what most networks want, and quick to walk along.
 */
struct row {
	float *channels[RGB];
	size_t width; /* of each */
};

static void resize_row(const struct image *photo, const struct tap *columns, size_t width,
		       struct tap tap, const struct row *row)
{
	const uint8_t *upper = photo->rgb + (size_t)tap.first * photo->width * RGB;
	const uint8_t *lower = photo->rgb + (size_t)tap.second * photo->width * RGB;

	for (size_t x = 0; x < width; x++) {
		size_t a = (size_t)columns[x].first * RGB, b = (size_t)columns[x].second * RGB;
		float part = columns[x].part;

		for (unsigned int c = 0; c < RGB; c++) {
			float top = upper[a + c] + part * (upper[b + c] - upper[a + c]);
			float bottom = lower[a + c] + part * (lower[b + c] - lower[a + c]);

			row->channels[c][x] = top + tap.part * (bottom - top);
		}
	}
}

static void blank_row(const struct family *family, size_t from, const struct row *row)
{
	for (unsigned int c = 0; c < RGB; c++)
		for (size_t x = from; x < row->width; x++)
			row->channels[c][x] = family->blank[family->bgr ? RGB - 1 - c : c];
}

static void put_raw(const float *restrict from, size_t width, uint8_t *restrict to, size_t step)
{
	for (size_t x = 0; x < width; x++)
		to[x * step] = (uint8_t)(from[x] + 0.5f);
}

/* The two loops are the same; the compiler makes vectors of the first. */
static void put_floats(const float *restrict from, size_t width, float *restrict to, size_t step,
		       float mean, float factor)
{
	if (step == 1)
		for (size_t x = 0; x < width; x++)
			to[x] = (from[x] - mean) * factor;
	else
		for (size_t x = 0; x < width; x++)
			to[x * step] = (from[x] - mean) * factor;
}

static void put_row(const struct family *family, const struct layout *layout, const struct row *row,
		    size_t y, void *data)
{
	for (unsigned int c = 0; c < RGB; c++) {
		const float *from = row->channels[family->bgr ? RGB - 1 - c : c];
		size_t at = y * layout->row_step + c * layout->channel_step;

		if (layout->raw)
			put_raw(from, row->width, (uint8_t *)data + at, layout->column_step);
		else
			put_floats(from, row->width, (float *)data + at, layout->column_step,
				   family->mean[c], family->factor[c]);
	}
}

static void put_photo(const struct family *family, const struct layout *layout,
		      const struct fit *fit, const struct image *photo, const struct tap *columns,
		      const struct row *row, void *data)
{
	size_t y = 0;

	blank_row(family, fit->seen_w, row);
	for (; y < fit->seen_h; y++) {
		struct tap tap = tap_at(y + fit->skip_y, photo->height, fit->resized_h);

		resize_row(photo, columns, fit->seen_w, tap, row);
		put_row(family, layout, row, y, data);
	}
	blank_row(family, 0, row);
	for (; y < layout->height; y++)
		put_row(family, layout, row, y, data);
}

static int put_fit(const struct family *family, const struct layout *layout, const struct fit *fit,
		   const struct image *photo, void *data)
{
	struct tap *columns = calloc(fit->seen_w, sizeof(*columns));
	float *floats = calloc(layout->width * RGB, sizeof(*floats));
	struct row row = {.width = layout->width};

	if (!columns || !floats) {
		free(columns);
		free(floats);
		return -ENOMEM;
	}
	for (unsigned int c = 0; c < RGB; c++)
		row.channels[c] = floats + c * layout->width;
	for (size_t x = 0; x < fit->seen_w; x++)
		columns[x] = tap_at(x + fit->skip_x, photo->width, fit->resized_w);
	put_photo(family, layout, fit, photo, columns, &row, data);
	free(columns);
	free(floats);
	return 0;
}

int preprocess(enum preprocess_kind kind, const struct image *photo,
	       const struct task_tensor *input, float *ret_scale, struct reason *why)
{
	const struct family *family = &families[kind];
	struct layout layout;
	struct fit fit;

	if (find_layout(input, &layout))
		return reason_add(why, -ENOTSUP,
				  "Input %s takes no photo (float32 or uint8, 1x3xHxW or 1xHxWx3)",
				  input->name);
	fit = family->middle ? fit_middle(photo, &layout) : fit_whole(photo, &layout);
	if (put_fit(family, &layout, &fit, photo, input->data))
		return reason_add(why, -ENOMEM, "Photo can't be resized: out of memory");
	if (ret_scale)
		*ret_scale = (float)fit.scale;
	return 0;
}
