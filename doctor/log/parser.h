/* SPDX-License-Identifier: MIT */
#ifndef TETHYS_DOCTOR_LOG_PARSER_H
#define TETHYS_DOCTOR_LOG_PARSER_H

#include "doctor/log/ahead.h"
#include "doctor/log/log.h"

/* As doctor_parser_feed(), with what a search ahead has found in the block. */
void doctor_parser_feed_ahead(struct doctor_parser *parser, const struct ahead_block *block);

#endif
