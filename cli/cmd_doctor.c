/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"
#include "doctor/doctor.h"

int cmd_doctor(int argc, char **argv)
{
	/* As help and messages name it. */
	argv[0] = (char *)"tethys doctor";
	return doctor_main(argc, argv);
}
