// What this package asks of tree-sitter's C library, which github.com/tree-sitter/go-tree-sitter compiles into the binary.
// One call parses and one copies a tree out, so that a tree costs two crossings from Go rather than ten for each node.
#ifndef CRISOL_SYNTAX_SHIM_H
#define CRISOL_SYNTAX_SHIM_H

#include <stdbool.h>
#include <stdint.h>

// Same layout as Node in tree.go.
typedef struct {
  uint32_t start, end, row, size;
  int32_t parent;
  uint16_t kind, field;
  uint8_t flags, role;
} syntax_node;

// Same layout as edit in parse.go.
typedef struct {
  uint32_t start, old_end, new_end;
  uint32_t start_row, start_column, old_end_row, old_end_column, new_end_row, new_end_column;
} syntax_edit;

typedef struct {
  uint64_t steps;       // at most this many hundreds of parse operations; afterwards, how many are left
  uint64_t nanoseconds; // of the thread's CPU time
} syntax_budget;

enum { SYNTAX_NAMED = 1, SYNTAX_ERROR = 2, SYNTAX_MISSING = 4, SYNTAX_EXTRA = 8, SYNTAX_HAS_ERROR = 16 };

// Called once, before anything else.
void syntax_init(void);

// The trees are opaque. NULL means that the budget ran out. Parse sets budget->steps to what is left.
void *syntax_parse(const void *language, const char *source, uint32_t length, void *old, const syntax_edit *edits,
                   uint32_t edit_count, syntax_budget *budget);
uint32_t syntax_count(void *tree);
uint32_t syntax_flatten(void *tree, syntax_node *out, uint32_t room);
void syntax_free(void *tree);

uint32_t syntax_kinds(const void *language);
const char *syntax_kind_name(const void *language, uint16_t kind);
uint32_t syntax_fields(const void *language);
const char *syntax_field_name(const void *language, uint16_t field);

#endif
