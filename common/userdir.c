/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/userdir.h"

static const struct place {
	const char *variable, *in_home;
} places[] = {
	[USERDIR_CACHE] = {"XDG_CACHE_HOME", ".cache"},
	[USERDIR_STATE] = {"XDG_STATE_HOME", ".local/state"},
};

int userdir_path(enum userdir dir, const char *name, char ret_path[PATH_MAX], struct reason *why)
{
	const struct place *place = &places[dir];
	const char *base = getenv(place->variable), *home = getenv("HOME"),
		   *slash = *name ? "/" : "";
	char path[PATH_MAX];
	int n;

	if (base && *base)
		n = snprintf(path, PATH_MAX, "%s/tethys%s%s", base, slash, name);
	else if (home && *home)
		n = snprintf(path, PATH_MAX, "%s/%s/tethys%s%s", home, place->in_home, slash, name);
	else
		return reason_add(why, -ENOENT, "neither HOME nor %s is set", place->variable);
	if (n >= PATH_MAX)
		return reason_add(why, -ENAMETOOLONG, "the path of %s is too long",
				  base && *base ? place->variable : "HOME");
	snprintf(ret_path, PATH_MAX, "%s", path);
	return 0;
}
