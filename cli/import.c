// freshet import: a safetensors file as the start of a model.
#include "cli/command.h"

#include <inttypes.h>
#include <string.h>

#include "base/disk.h"
#include "cli/warm.h"

static enum status begun_refuse(const struct settings *settings, struct error *err) {
    char directory[4096];
    int length =
        snprintf(directory, sizeof directory, "%s/%s.trainer", settings->directory, settings->name);
    if (length < 0 || (size_t)length >= sizeof directory)
        return error_set(err, STATUS_INVALID, "`directory` is too long");
    return disk_exists(directory)
               ? error_set(err, STATUS_EXISTS,
                           "could not import: the trainer of `%s` has begun already (%s); a model "
                           "is imported where it begins: give the configuration another `name` or "
                           "`directory`, or remove that folder",
                           settings->name, directory)
               : STATUS_OK;
}

static enum status import_file(const struct settings *settings, const char *path,
                               struct error *err) {
    char to[4096];
    struct buffer bytes;
    struct trainer *trainer = NULL;
    struct warm_report report;
    struct trainer_setup setup = {.spec = &settings->data,
                                  .model = &settings->model,
                                  .settings = &settings->trainer,
                                  .lineage = 1,
                                  .inputs = 1};
    buffer_init(&bytes);
    enum status status = begun_refuse(settings, err);
    if (status == STATUS_OK)
        status = trainer_new(&setup, &trainer, err);
    if (status == STATUS_OK)
        status = warm_start(trainer, path, stdout, &report, err);
    if (status == STATUS_OK)
        status = warm_path(settings, to, sizeof to, err);
    if (status == STATUS_OK)
        status = disk_make_directory(settings->directory, err);
    if (status == STATUS_OK)
        status = disk_read_all(path, &bytes, err);
    if (status == STATUS_OK)
        status = disk_replace_all(to, bytes.data, bytes.length, err);
    if (status == STATUS_OK)
        printf("imported: %zu tensors, %" PRIu64 " rows, %" PRIu64
               " rates; %zu tensors begin anew. The trainer begins from it.\n",
               report.tensors_taken, report.rows, report.rates, report.tensors_new);
    buffer_deinit(&bytes);
    trainer_free(trainer);
    return status;
}

static int run_import(int argc, char **argv) {
    const char *positional[2] = {NULL, NULL};
    if (!arguments_parse(&command_import, argc, argv, NULL, 0, positional, 2, 2))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    struct error err;
    int code = EXIT_DONE;
    arena_init(&run_arena, 65536);
    if (command_settings(positional[0], &run_arena, &settings, &code) &&
        import_file(&settings, positional[1], &err) != STATUS_OK)
        code = command_fail(&err);
    arena_deinit(&run_arena);
    return code;
}

const struct command command_import = {
    .name = "import",
    .arguments = "CONFIG FILE",
    .summary = "a safetensors file as the start of a model that has not begun",
    .help =
        "Checks FILE against the model of CONFIG and keeps a copy in `directory`, from which the\n"
        "trainer begins. Dense tensors go by their names, rows by `table.T.ids` (U64) and\n"
        "`table.T.values` (F32), as `freshet export` writes them; what the file does not hold\n"
        "begins as always, and is listed. A tensor that the model does not have, of another shape\n"
        "or dtype, or with a NaN, refuses the file whole. Optimisers begin anew.",
    .run = run_import,
};
