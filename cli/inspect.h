// How records, journals, checkpoints and Redis are printed, one JSON object a line.
#ifndef FRESHET_CLI_INSPECT_H
#define FRESHET_CLI_INSPECT_H

#include "cli/settings.h"
#include "log/log.h"

enum inspect_kind { INSPECT_EVENTS, INSPECT_EXAMPLES, INSPECT_WEIGHTS, INSPECT_DEAD_LETTERS };

struct inspect_printer; // what decoding a topic needs
CHECKED enum status inspect_printer_new(const struct settings *settings, enum inspect_kind kind,
                                        const char *topic, struct inspect_printer **ret_printer,
                                        struct error *err);
void inspect_printer_free(struct inspect_printer *printer);
// A record that cannot be decoded is printed with its reason and its length. STATUS_IO when the
// stream refuses.
CHECKED enum status inspect_print(struct inspect_printer *printer, int32_t partition,
                                  const struct log_record *record, FILE *stream, struct error *err);
// For log_journal_read: self is the FILE.
CHECKED enum status inspect_print_journal(void *stream, int64_t place, const void *bytes,
                                          size_t length, struct error *err);
CHECKED enum status inspect_print_checkpoints(const struct settings *settings, const char *task,
                                              FILE *stream, struct error *err);
CHECKED enum status inspect_print_redis(const struct settings *settings, FILE *stream,
                                        struct error *err);

#endif
