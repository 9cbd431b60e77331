// freshet versions: what there is, what is out, what is held and why.
#include "cli/versions.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "cli/command.h"
#include "publisher/manifest.h"

enum status versions_read(struct versions *versions, const struct settings *settings,
                          struct log *log, bool with_measures, struct error *err) {
    *versions = (struct versions){0};
    steer_init(&versions->steer);
    enum status status =
        catalogue_read(log, settings->trainer.weights, with_measures, &versions->catalogue, err);
    if (status == STATUS_OK && settings->control[0])
        status = steer_load(&versions->steer, log, settings->control, err);
    if (status == STATUS_NOT_FOUND && versions->catalogue.count > 0)
        status = STATUS_OK; // nothing has been commanded, or read, yet
    if (status != STATUS_OK) {
        versions_deinit(versions);
        return status;
    }
    versions->out_known =
        manifest_ask(&settings->publisher.redis, settings->name, &versions->out_lineage,
                     &versions->out_version, &versions->trouble) == STATUS_OK;
    return STATUS_OK;
}

void versions_deinit(struct versions *versions) {
    catalogue_deinit(&versions->catalogue);
}

bool versions_is_out(const struct versions *versions, const struct catalogue_version *version) {
    return versions->out_known && version->lineage == versions->out_lineage &&
           version->version == versions->out_version;
}

bool versions_is_pinned(const struct versions *versions, const struct catalogue_version *version) {
    return versions->steer.pinned && version->lineage == versions->steer.lineage &&
           version->version == versions->steer.version;
}

bool versions_can_return(const struct versions *versions, const struct catalogue_version *version) {
    bool clean;
    return version->end >= 0 && catalogue_begin(&versions->catalogue, version, &clean) != NULL;
}

static void print_time(int64_t time_ms) {
    char text[32] = "-";
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    if (time_ms > 0 && gmtime_r(&seconds, &parts))
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    printf("  %-19s", text);
}

static void print_line(const struct versions *versions, const struct catalogue_version *version) {
    printf("%10" PRIu64, version->version);
    print_time(version->written_ms);
    print_time(version->watermark_ms);
    printf("  %-4s  %-4s%s%s%s%s\n", version->passed ? "pass" : "hold",
           versions_can_return(versions, version) ? "yes" : "no",
           versions_is_out(versions, version) ? "  out" : "",
           versions_is_pinned(versions, version) ? "  pinned" : "", version->passed ? "" : "  ",
           version->reason);
}

static void print_json(const struct versions *versions, const struct catalogue_version *version) {
    char lineage[24];
    snprintf(lineage, sizeof lineage, "%016" PRIx64, version->lineage);
    json_t *measures = json_loads(version->measures, 0, NULL);
    json_t *root = json_pack(
        "{s:s, s:I, s:I, s:I, s:b, s:s, s:b, s:b, s:b, s:o*}", "lineage", lineage, "version",
        (json_int_t)version->version, "written_ms", (json_int_t)version->written_ms, "watermark_ms",
        (json_int_t)version->watermark_ms, "passed", version->passed, "reason", version->reason,
        "out", versions_is_out(versions, version), "pinned", versions_is_pinned(versions, version),
        "can_return", versions_can_return(versions, version), "measures", measures);
    if (root)
        (void)json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(root);
}

static void print_all(const struct versions *versions, size_t last, bool json) {
    const struct catalogue *catalogue = &versions->catalogue;
    size_t first = catalogue->count > last ? catalogue->count - last : 0;
    if (!json)
        printf("%10s  %-19s  %-19s  %-4s  %-4s\n", "version", "written (UTC)", "learnt up to",
               "gate", "back");
    for (size_t i = first; i < catalogue->count; i++) {
        if (json)
            print_json(versions, &catalogue->versions[i]);
        else
            print_line(versions, &catalogue->versions[i]);
    }
    if (!versions->out_known)
        fprintf(stderr, "freshet versions: which one is out is not known: %s\n",
                versions->trouble.message);
}

static int versions_show(const struct settings *settings, size_t last, bool json) {
    struct error err;
    struct log *log = NULL;
    struct versions versions = {0};
    enum status status = log_open(&settings->log, &log, &err);
    if (status == STATUS_OK)
        status = versions_read(&versions, settings, log, json, &err);
    if (status == STATUS_OK)
        print_all(&versions, last, json);
    versions_deinit(&versions);
    log_close(log);
    return status == STATUS_OK ? EXIT_DONE : command_fail(&err);
}

static int run_versions(int argc, char **argv) {
    const char *path = NULL, *last_text = NULL;
    bool json = false;
    int64_t last = 20;
    const struct argument arguments[] = {{.name = "--last", .value = &last_text},
                                         {.name = "--json", .flag = &json}};
    if (!arguments_parse(&command_versions, argc, argv, arguments, 2, &path, 1, 1) ||
        (last_text &&
         !arguments_number(&command_versions, "--last", last_text, 1, INT64_C(1) << 40, &last)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    if (command_settings(path, &run_arena, &settings, &code))
        code = versions_show(&settings, (size_t)last, json);
    arena_deinit(&run_arena);
    return code;
}

const struct command command_versions = {
    .name = "versions",
    .arguments = "CONFIG [--last N] [--json]",
    .summary = "the versions in the weights log: which is out, which are held, and why",
    .help =
        "  --last N  the newest N, 20 by default\n"
        "  --json    an object a line, with all online measures of the version\n"
        "\n"
        "gate: whether the version's measures were inside `trainer.gate.bounds`. back: whether\n"
        "`freshet rollback` can return to it, by what the weights log retains. Reads the whole\n"
        "weights log, which takes as long as copying it.",
    .run = run_versions,
};
