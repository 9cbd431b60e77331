// freshet options: the configuration's documentation, from the tables that the reader itself uses.
#include <string.h>

#include "cli/command.h"

static int run_options(int argc, char **argv) {
    if (!arguments_parse(&command_options, argc, argv, NULL, 0, NULL, 0, 0))
        return EXIT_USAGE;
    struct buffer text;
    buffer_init(&text);
    config_document(&settings_options, &text);
    int code = EXIT_DONE;
    if (text.failed || fwrite(text.data, 1, text.length, stdout) != text.length ||
        fflush(stdout) != 0) {
        fputs("freshet: could not write the documentation to standard output\n", stderr);
        code = EXIT_FAILED;
    }
    buffer_deinit(&text);
    return code;
}

const struct command command_options = {
    .name = "options",
    .arguments = "",
    .summary = "prints every setting with its type, range, default and meaning (Markdown)",
    .help = "docs/configuration.md is this output.",
    .run = run_options,
};
