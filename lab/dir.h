/* SPDX-License-Identifier: MIT */
/*
 * Folders of runs: one for each, named for its scenario and time.
 */
#ifndef TETHYS_LAB_DIR_H
#define TETHYS_LAB_DIR_H

#include <limits.h>
#include <stddef.h>

#include "common/reason.h"

/**
 * lab_logs_dir() - where run folders are
 * @chosen: the user's; NULL: ${XDG_STATE_HOME:-~/.local/state}/tethys/lab
 */
int lab_logs_dir(const char *chosen, char ret_dir[PATH_MAX], struct reason *why);

/* LOGS_DIR/SCENARIO-DATE-TIME-N, made. Return: 0; negative errno. */
int lab_folder_create(const char *logs_dir, const char *scenario, char ret_dir[PATH_MAX],
		      struct reason *why);

/*
 * The newest run folder of @scenario (NULL: of any). Return: 0; -ENOENT none.
 */
int lab_folder_newest(const char *logs_dir, const char *scenario, char ret_dir[PATH_MAX],
		      struct reason *why);

/* Remove a folder and the files in it; folders in it stay, and so does it then. */
void lab_dir_remove(const char *dir);

#endif
