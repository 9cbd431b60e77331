// A text as one YAML document of nodes that know their lines.
#ifndef FRESHET_CONFIG_DOCUMENT_LOAD_H
#define FRESHET_CONFIG_DOCUMENT_LOAD_H

#include <yaml.h>

#include "base/status.h"

// The text's only document; on success the caller ends it with yaml_document_delete. Aliases are
// nodes that stand in several places, never copies. STATUS_INVALID: "NAME:LINE: expected ..., found
// ..." when the text is no YAML, no UTF-8, two documents, or has more than 200 brackets open.
CHECKED enum status document_load(const char *name, const char *text, size_t length,
                                  yaml_document_t *ret_document, struct error *err);

#endif
