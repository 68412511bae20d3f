/* SPDX-License-Identifier: MIT */
/*
 * What the demo shows: two networks and some photos, from a folder of assets.
 *
 *	ASSETS/face-api-VERSION/tiny-face.onnx		the face detector
 *	ASSETS/face-api-VERSION/package/demo/NAME.jpg	photos, of the npm package it came from
 *	ASSETS/resnet18-seed18.onnx			made when it is not there
 *
 * What is in ASSETS/face-api-VERSION may also be in ASSETS itself.
 */
#ifndef TETHYS_CLI_ASSETS_H
#define TETHYS_CLI_ASSETS_H

#include <limits.h>
#include <stddef.h>

#include "common/reason.h"

#define ASSETS_PHOTOS_MAX 8

struct assets {
	char dir[PATH_MAX];
	char resnet18[PATH_MAX];
	char tiny_face[PATH_MAX];
	char *photo[ASSETS_PHOTOS_MAX];
	size_t photos;
};

/**
 * assets_open() - find detector and photos, make ResNet18 when it is missing
 * @dir: NULL: ${XDG_CACHE_HOME:-~/.cache}/tethys/assets
 * @ret_assets: for the caller to assets_close(), also on failure
 *
 * Return: 0; -ENOENT no detector or no photos; -ENAMETOOLONG; as resnet18_make().
 */
int assets_open(const char *dir, struct assets *ret_assets, struct reason *why);
void assets_close(struct assets *assets);

#endif
