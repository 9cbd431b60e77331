// The manual pages and the shell completion, made from the tables of commands and options.
#ifndef FRESHET_CLI_MANUAL_H
#define FRESHET_CLI_MANUAL_H

#include "cli/command.h"

void manual_page(struct buffer *into);        // freshet(1)
void manual_config_page(struct buffer *into); // freshet(5)
void manual_bash(struct buffer *into);        // completion for bash

#endif
