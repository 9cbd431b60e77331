// freshet: finds the subcommand and runs it.
#include "cli/command.h"

#include <errno.h>
#include <string.h>

#include "base/logger.h"
#include "base/memory.h"

static const struct command *const commands[] = {
    &command_run,      &command_ingest,   &command_train,    &command_publish, &command_score,
    &command_simulate, &command_load,     &command_compare,  &command_export,  &command_import,
    &command_inspect,  &command_check,    &command_options,  &command_top,     &command_serve,
    &command_replay,   &command_versions, &command_rollback, &command_pin,     &command_unpin,
    &command_rewind,
};
static const size_t command_count = sizeof commands / sizeof commands[0];

const struct command *const *command_list(size_t *ret_count) {
    *ret_count = command_count;
    return commands;
}

static void print_usage(FILE *stream) {
    fputs("freshet " FRESHET_VERSION
          ": learns from event streams, publishes fresh weights to Redis\n\n"
          "usage: freshet COMMAND [ARGUMENTS]\n\n",
          stream);
    for (size_t i = 0; i < command_count; i++)
        fprintf(stream, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "\n`freshet COMMAND --help` tells more.\n\n"
        "exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 a server could not be reached,\n"
        "  5 a newer instance took over, 6 cannot be continued exactly, 7 interrupted by a "
        "signal\n",
        stream);
}

static void print_help(const struct command *command) {
    printf("freshet %s: %s\n\nusage: freshet %s%s%s\n\n%s\n", command->name, command->summary,
           command->name, command->arguments[0] ? " " : "", command->arguments, command->help);
}

enum exit_code exit_code_of(enum status status) {
    switch (status) {
    case STATUS_OK:
    case STATUS_END:
        return EXIT_DONE;
    case STATUS_INVALID:
    case STATUS_UNSUPPORTED:
        return EXIT_CONFIG;
    case STATUS_UNAVAILABLE:
    case STATUS_TIMEOUT:
        return EXIT_UNREACHABLE;
    case STATUS_FENCED:
        return EXIT_FENCED;
    case STATUS_CHANGED:
        return EXIT_INEXACT;
    case STATUS_STOPPED:
        return EXIT_INTERRUPTED;
    case STATUS_NOT_FOUND:
    case STATUS_EXISTS:
    case STATUS_EXHAUSTED:
    case STATUS_IO:
    case STATUS_CORRUPT:
        break;
    }
    return EXIT_FAILED;
}

int command_fail(const struct error *err) {
    fprintf(stderr, "freshet: %s\n", err->message);
    return exit_code_of(err->status);
}

static bool usage_mistake(const struct command *command, const char *what, const char *argument) {
    fprintf(stderr, "freshet %s: %s %s\nusage: freshet %s %s\n", command->name, what, argument,
            command->name, command->arguments);
    return false;
}

// The option that `text` names, with the text behind an '=' when there is one.
static const struct argument *argument_find(const struct argument *arguments, size_t count,
                                            const char *text, const char **ret_inline) {
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    for (size_t i = 0; i < count; i++) {
        if (strlen(arguments[i].name) == length && memcmp(arguments[i].name, text, length) == 0) {
            *ret_inline = equals ? equals + 1 : NULL;
            return &arguments[i];
        }
    }
    return NULL;
}

bool arguments_parse(const struct command *command, int argc, char **argv,
                     const struct argument *arguments, size_t count, const char **positional,
                     size_t positional_min, size_t positional_max) {
    size_t taken = 0;
    bool options_end = false;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (!options_end && strcmp(text, "--") == 0) {
            options_end = true;
            continue;
        }
        if (options_end || text[0] != '-' || text[1] == '\0') {
            if (taken == positional_max)
                return usage_mistake(command, "unexpected argument", text);
            positional[taken++] = text;
            continue;
        }
        const char *value = NULL;
        const struct argument *argument = argument_find(arguments, count, text, &value);
        if (!argument)
            return usage_mistake(command, "unknown option", text);
        if (argument->flag) {
            if (value)
                return usage_mistake(command, "takes no value:", argument->name);
            *argument->flag = true;
            continue;
        }
        if (!value && i + 1 >= argc)
            return usage_mistake(command, "a value is missing behind", argument->name);
        *argument->value = value ? value : argv[++i];
    }
    if (taken < positional_min)
        return usage_mistake(command, "an argument is missing", "");
    return true;
}

bool arguments_number(const struct command *command, const char *name, const char *text,
                      int64_t minimum, int64_t maximum, int64_t *ret_number) {
    char *rest = NULL;
    errno = 0;
    long long number = strtoll(text, &rest, 10);
    if (errno != 0 || rest == text || *rest != '\0' || number < minimum || number > maximum) {
        fprintf(stderr,
                "freshet %s: %s: expected a whole number within %lld and %lld, found '%s'\n",
                command->name, name, (long long)minimum, (long long)maximum, text);
        return false;
    }
    *ret_number = number;
    return true;
}

bool command_settings(const char *path, struct arena *arena, struct settings *ret_settings,
                      int *ret_exit) {
    struct error err;
    memset(ret_settings, 0, sizeof *ret_settings);
    enum status status = settings_load(path, arena, ret_settings, &err);
    if (status != STATUS_OK) {
        fprintf(stderr, "freshet: %s\n", err.message);
        *ret_exit = status == STATUS_EXHAUSTED ? EXIT_FAILED : EXIT_CONFIG;
        return false;
    }
    logger_setup(stderr, (enum logger_level)ret_settings->logging.level,
                 (enum logger_format)ret_settings->logging.format);
    return true;
}

int main(int argc, char **argv) {
    memory_keep();
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("freshet " FRESHET_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0)
            continue;
        for (int k = 2; k < argc && strcmp(argv[k], "--") != 0; k++) {
            if (strcmp(argv[k], "--help") == 0 || strcmp(argv[k], "-h") == 0) {
                print_help(commands[i]);
                return EXIT_DONE;
            }
        }
        return commands[i]->run(argc - 1, argv + 1);
    }
    fprintf(stderr, "freshet: no such command: %s\n\n", argv[1]);
    print_usage(stderr);
    return EXIT_USAGE;
}
