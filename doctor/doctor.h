/* SPDX-License-Identifier: MIT */
/*
 * tethys doctor from options to exit code, for the command and for the static tethys-doctor.
 */
#ifndef TETHYS_DOCTOR_DOCTOR_H
#define TETHYS_DOCTOR_DOCTOR_H

/* @argv[0] is what the user typed, "tethys doctor" or "tethys-doctor". Return: enum doctor_verdict,
 * which 2 also says for wrong usage. */
int doctor_main(int argc, char **argv);

#endif
