#include "shim.h"

#include <stddef.h>
#include <time.h>

// The part of tree_sitter/api.h (version 0.25) that is used here. The header itself lies in another module, out of a C
// compiler's reach; TestLayout holds these structures against it through that module's Go binding.
typedef struct TSTree TSTree;
typedef struct TSParser TSParser;
typedef struct { uint32_t row, column; } TSPoint;
typedef struct { uint32_t context[4]; const void *id; const TSTree *tree; } TSNode;
typedef struct { const void *tree, *id; uint32_t context[3]; } TSTreeCursor;
typedef struct {
  void *payload;
  const char *(*read)(void *payload, uint32_t byte_index, TSPoint position, uint32_t *bytes_read);
  int encoding;
  uint32_t (*decode)(const uint8_t *string, uint32_t length, int32_t *code_point);
} TSInput;
typedef struct { void *payload; uint32_t current_byte_offset; bool has_error; } TSParseState;
typedef struct { void *payload; bool (*progress_callback)(TSParseState *state); } TSParseOptions;
typedef struct {
  uint32_t start_byte, old_end_byte, new_end_byte;
  TSPoint start_point, old_end_point, new_end_point;
} TSInputEdit;

TSParser *ts_parser_new(void);
void ts_parser_delete(TSParser *);
bool ts_parser_set_language(TSParser *, const void *);
TSTree *ts_parser_parse_with_options(TSParser *, const TSTree *, TSInput, TSParseOptions);
void ts_tree_edit(TSTree *, const TSInputEdit *);
void ts_tree_delete(TSTree *);
TSTree *ts_tree_copy(const TSTree *);
TSNode ts_tree_root_node(const TSTree *);
uint32_t ts_node_descendant_count(TSNode);
uint32_t ts_node_start_byte(TSNode);
uint32_t ts_node_end_byte(TSNode);
TSPoint ts_node_start_point(TSNode);
uint16_t ts_node_symbol(TSNode);
bool ts_node_is_named(TSNode);
bool ts_node_is_error(TSNode);
bool ts_node_is_missing(TSNode);
bool ts_node_is_extra(TSNode);
bool ts_node_has_error(TSNode);
TSTreeCursor ts_tree_cursor_new(TSNode);
void ts_tree_cursor_delete(TSTreeCursor *);
TSNode ts_tree_cursor_current_node(const TSTreeCursor *);
uint16_t ts_tree_cursor_current_field_id(const TSTreeCursor *);
bool ts_tree_cursor_goto_first_child(TSTreeCursor *);
bool ts_tree_cursor_goto_next_sibling(TSTreeCursor *);
bool ts_tree_cursor_goto_parent(TSTreeCursor *);
uint32_t ts_language_symbol_count(const void *);
const char *ts_language_symbol_name(const void *, uint16_t);
uint32_t ts_language_field_count(const void *);
const char *ts_language_field_name_for_id(const void *, uint16_t);
void ts_set_allocator(void *(*)(size_t), void *(*)(size_t, size_t), void *(*)(void *, size_t), void (*)(void *));

// The binding's init has every allocation of the C library go through Go, which takes longer than parsing itself. What it
// puts in place calls malloc and free in the end, so that memory from before this is freed as well.
void syntax_init(void) { ts_set_allocator(NULL, NULL, NULL, NULL); }

typedef struct { const char *text; uint32_t length; } source;

static const char *read_source(void *payload, uint32_t at, TSPoint position, uint32_t *bytes_read) {
  (void)position;
  const source *s = payload;
  if (at >= s->length) {
    *bytes_read = 0;
    return "";
  }
  *bytes_read = s->length - at;
  return s->text + at;
}

// The time that this thread has worked: a busy machine must not change what is parsed.
static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

typedef struct { uint64_t steps, deadline; } progress;

// The parser asks this every hundred operations; true stops it. After an error it follows several readings of the text
// at once, and an operation takes about ten times as long.
static bool spent(TSParseState *state) {
  progress *p = state->payload;
  uint64_t cost = state->has_error ? 8 : 1;
  if (p->steps < cost) return true;
  p->steps -= cost;
  return now() > p->deadline;
}

void *syntax_parse(const void *language, const char *text, uint32_t length, void *old, const syntax_edit *edits,
                   uint32_t edit_count, syntax_budget *budget) {
  TSParser *parser = ts_parser_new();
  if (!ts_parser_set_language(parser, language)) {
    ts_parser_delete(parser);
    return NULL;
  }
  TSTree *edited = NULL;
  if (old) {
    edited = ts_tree_copy(old);
    for (uint32_t i = 0; i < edit_count; i++) {
      const syntax_edit *e = &edits[i];
      TSInputEdit edit = {
          e->start, e->old_end, e->new_end, {e->start_row, e->start_column}, {e->old_end_row, e->old_end_column}, {e->new_end_row, e->new_end_column}};
      ts_tree_edit(edited, &edit);
    }
  }
  source s = {text, length};
  progress p = {budget->steps, now() + budget->nanoseconds};
  TSInput input = {&s, read_source, 0, NULL};
  TSParseOptions options = {&p, spent};
  TSTree *tree = ts_parser_parse_with_options(parser, edited, input, options);
  budget->steps = p.steps;
  if (edited) ts_tree_delete(edited);
  ts_parser_delete(parser);
  return tree;
}

uint32_t syntax_count(void *tree) { return ts_node_descendant_count(ts_tree_root_node(tree)); }

static void copy_node(const TSTreeCursor *cursor, syntax_node *out) {
  TSNode node = ts_tree_cursor_current_node(cursor);
  out->start = ts_node_start_byte(node);
  out->end = ts_node_end_byte(node);
  out->row = ts_node_start_point(node).row;
  out->kind = ts_node_symbol(node);
  out->field = ts_tree_cursor_current_field_id(cursor);
  out->flags = (ts_node_is_named(node) ? SYNTAX_NAMED : 0) | (ts_node_is_error(node) ? SYNTAX_ERROR : 0) |
               (ts_node_is_missing(node) ? SYNTAX_MISSING : 0) | (ts_node_is_extra(node) ? SYNTAX_EXTRA : 0) |
               (ts_node_has_error(node) ? SYNTAX_HAS_ERROR : 0);
}

uint32_t syntax_flatten(void *tree, syntax_node *out, uint32_t room) {
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree));
  uint32_t n = 0;
  int32_t parent = -1;
  while (n < room) {
    copy_node(&cursor, &out[n]);
    out[n].parent = parent;
    out[n].size = 1;
    n++;
    if (ts_tree_cursor_goto_first_child(&cursor)) {
      parent = (int32_t)n - 1;
      continue;
    }
    while (!ts_tree_cursor_goto_next_sibling(&cursor)) {
      if (parent < 0 || !ts_tree_cursor_goto_parent(&cursor)) goto done;
      out[parent].size = n - (uint32_t)parent;
      parent = out[parent].parent;
    }
  }
done:
  for (; parent >= 0; parent = out[parent].parent) out[parent].size = n - (uint32_t)parent;
  ts_tree_cursor_delete(&cursor);
  return n;
}

void syntax_free(void *tree) {
  if (tree) ts_tree_delete(tree);
}

uint32_t syntax_kinds(const void *language) { return ts_language_symbol_count(language); }
const char *syntax_kind_name(const void *language, uint16_t kind) { return ts_language_symbol_name(language, kind); }
uint32_t syntax_fields(const void *language) { return ts_language_field_count(language); }
const char *syntax_field_name(const void *language, uint16_t field) { return ts_language_field_name_for_id(language, field); }
