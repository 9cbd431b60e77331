// freshet options: the configuration's documentation, from the tables that the reader itself uses;
// and what is made from the tables of commands besides.
#include <string.h>

#include "cli/manual.h"

static void document(struct buffer *into) {
    config_document(&settings_options, into);
}

static int run_options(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*make)(struct buffer *into);
    } formats[] = {{"markdown", document},
                   {"man", manual_page},
                   {"man-config", manual_config_page},
                   {"bash", manual_bash}};
    const char *format = "markdown";
    const struct argument arguments[] = {{.name = "--format", .value = &format}};
    if (!arguments_parse(&command_options, argc, argv, arguments, 1, NULL, 0, 0))
        return EXIT_USAGE;
    void (*make)(struct buffer * into) = NULL;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, format) == 0)
            make = formats[i].make;
    if (!make) {
        fprintf(stderr,
                "freshet options: --format: expected markdown, man, man-config or bash, "
                "found '%s'\n",
                format);
        return EXIT_USAGE;
    }
    struct buffer text;
    buffer_init(&text);
    make(&text);
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
    .arguments = "[--format markdown | man | man-config | bash]",
    .summary = "prints every setting with its type, range, default and meaning",
    .help =
        "  --format F      markdown (docs/configuration.md is this output); man and man-config, "
        "the\n"
        "                  manual pages freshet(1) and freshet(5); bash, completion for that shell",
    .run = run_options,
};
