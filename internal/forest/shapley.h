// The part of an explanation that is done at every node of every tree, which is most of its cost: several numbers at
// once, in the processor's vectors.
#ifndef CRISOL_FOREST_SHAPLEY_H
#define CRISOL_FOREST_SHAPLEY_H

#include <stdbool.h>
#include <stdint.h>

// A split of a tree, whose nodes are told by their place in it. The row goes left where its slot holds at most the
// threshold; the right child follows the left one. prior is the split above that asked for the same feature last, and via
// the child through which it leads here; 0 where there is none.
typedef struct {
  int32_t threshold;
  float share;  // of the training weight that goes left
  uint16_t slot, at, left, prior, via;
} forest_split;

typedef struct {
  float value;
  uint16_t at;
} forest_leaf;

// A tree's part of the model's splits and leaves. Splits lie behind those above them.
typedef struct {
  uint32_t splits, leaves;
} forest_count;

// What is known of a node while a tree is explained.
typedef struct {
  double lanes[8];  // the product of the path to the node, then the sum below it
  // Of a split: z of its feature among the splits above, 0 where the row doesn't pass them; the share s of the training
  // weight that goes where the row goes; the factor's value where the feature is known, 1 or s; z (1-s).
  double known, share, open, gain;
  uint32_t taken, pad[7];
} forest_place;

// The rule by which polynomials are integrated from 0 to 1; rest is 1 - points.
typedef struct {
  double points[8], weights[8], rest[8];
} forest_rule;

enum { FOREST_FEATURES = 255 };

// Says whether the processor computes with four numbers at once.
bool forest_has_wide(void);

// Adds up the trees' contributions, by feature, of which there are FOREST_FEATURES. The row is laid out by slots. There are
// as many places as the largest tree has nodes. wide computes four numbers at once, and gives the same.
void forest_explain(const forest_count *trees, uint32_t tree_count, const forest_split *splits, const forest_leaf *leaves,
                    const forest_rule *rule, const int32_t *row, forest_place *places, double *contributions, bool wide);

#endif
