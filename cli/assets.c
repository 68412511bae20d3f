/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/assets.h"
#include "cli/cleanup.h"
#include "cli/term.h"
#include "common/userdir.h"
#include "tasks/models.h"

static int path_of(const char *dir, const char *name, char ret_path[PATH_MAX], struct reason *why)
{
	if (snprintf(ret_path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX)
		return 0;
	return reason_add(why, -ENAMETOOLONG, "The path of the assets is too long.");
}

/* Matches of DIR/NAME, else of DIR/face-api-VERSION/NAME, in glob's order: the newest is last. */
static int find_all(const char *dir, const char *name, glob_t *ret_found, struct reason *why)
{
	static const char *const places[] = {".", "face-api-*"};
	char pattern[PATH_MAX] = "";

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (snprintf(pattern, PATH_MAX, "%s/%s/%s", dir, places[i], name) >= PATH_MAX)
			break;
		if (!glob(pattern, 0, NULL, ret_found))
			return 0;
		globfree(ret_found);
	}
	reason_add(why, 0, "There is no '%s'.", pattern);
	return -ENOENT;
}

static int find_detector(struct assets *assets, struct reason *why)
{
	glob_t found = {0};
	int rc = find_all(assets->dir, "tiny-face.onnx", &found, why);

	if (rc)
		return rc;
	/* Both were made from a PATH_MAX pattern, and what exists is no longer than that. */
	snprintf(assets->tiny_face, PATH_MAX, "%s", found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
	return 0;
}

static int find_photos(struct assets *assets, struct reason *why)
{
	glob_t found = {0};
	int rc = find_all(assets->dir, "package/demo/*.jpg", &found, why);

	if (rc)
		return rc;
	for (size_t i = 0; i < found.gl_pathc && assets->photos < ASSETS_PHOTOS_MAX; i++) {
		assets->photo[assets->photos] = strdup(found.gl_pathv[i]);
		if (assets->photo[assets->photos])
			assets->photos++;
	}
	globfree(&found);
	return assets->photos ? 0 : reason_add(why, -ENOMEM, "No memory for names of photos.");
}

static int make_resnet18(struct assets *assets, struct reason *why)
{
	struct term_progress *bar;
	int rc = path_of(assets->dir, "resnet18-seed18.onnx", assets->resnet18, why);

	if (rc || !access(assets->resnet18, R_OK))
		return rc;
	bar = term_progress_start("making ResNet18", 0);
	cleanup_hold();
	rc = resnet18_make(assets->resnet18, RESNET18_SEED, why);
	cleanup_release();
	term_progress_stop(bar);
	return rc;
}

int assets_open(const char *dir, struct assets *ret_assets, struct reason *why)
{
	int rc;

	memset(ret_assets, 0, sizeof(*ret_assets));
	rc = dir ? path_of(dir, ".", ret_assets->dir, why)
		 : userdir_path(USERDIR_CACHE, "assets", ret_assets->dir, why);
	if (!rc)
		rc = find_detector(ret_assets, why);
	if (!rc)
		rc = find_photos(ret_assets, why);
	return rc ? rc : make_resnet18(ret_assets, why);
}

void assets_close(struct assets *assets)
{
	while (assets->photos)
		free(assets->photo[--assets->photos]);
}
