// The subcommands of `freshet`: one file and one entry in the table of main.c each.
#ifndef FRESHET_CLI_COMMAND_H
#define FRESHET_CLI_COMMAND_H

#include "cli/settings.h"

// Exit codes, the same for every command; `freshet --help` prints them.
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,      // the work could not be done; the last line says why
    EXIT_USAGE = 2,       // the command line cannot be understood
    EXIT_CONFIG = 3,      // the configuration or its schemas are wrong
    EXIT_UNREACHABLE = 4, // a server could not be reached
    EXIT_FENCED = 5,      // a newer instance of a task has taken over
    EXIT_INEXACT = 6,     // a log, build or configuration is not the one that the journal names
    EXIT_INTERRUPTED = 7, // stopped by a signal before the work was done
};
enum exit_code exit_code_of(enum status status);

struct command {
    const char *name;
    const char *arguments; // as shown behind the name
    const char *summary;   // one line
    const char *help;      // paragraphs, with the options and an example
    // argv[0] is the command's name. Returns an exit_code.
    int (*run)(int argc, char **argv);
};
// All commands, as `freshet --help` lists them.
const struct command *const *command_list(size_t *ret_count);
extern const struct command command_run, command_ingest, command_train, command_publish,
    command_score, command_simulate, command_load, command_inspect, command_check, command_options,
    command_compare, command_export, command_import, command_top, command_serve, command_replay,
    command_rewind, command_versions, command_rollback, command_pin, command_unpin;

// An option of a command line: --name VALUE, --name=VALUE, or a flag without a value.
struct argument {
    const char *name;   // with its dashes
    const char **value; // set to the text; NULL for a flag
    bool *flag;         // set for a flag
};
// Takes options out of argv; what is left are at most `positional_max` positional arguments. Prints
// what is wrong and returns false. "--" ends the options.
bool arguments_parse(const struct command *command, int argc, char **argv,
                     const struct argument *arguments, size_t count, const char **positional,
                     size_t positional_min, size_t positional_max);
// A whole number within [minimum, maximum], or prints what is wrong and returns false.
bool arguments_number(const struct command *command, const char *name, const char *text,
                      int64_t minimum, int64_t maximum, int64_t *ret_number);
// Prints the error for a person (stderr) and returns its exit code.
int command_fail(const struct error *err);
// Loads the configuration and sets the logger up by it; settings live in *arena. Prints what is
// wrong.
bool command_settings(const char *path, struct arena *arena, struct settings *ret_settings,
                      int *ret_exit);

#endif
