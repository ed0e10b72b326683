#include "shapley.h"

// Take a node that asks for feature j, of which the splits above have asked with a product of shares z, and have been
// passed by the row. At a point t the feature's factor so far is f = z (1-t) + t; where the row goes it becomes
// g = z s (1-t) + t with s the share that goes there, elsewhere z (1-s) (1-t), which is f - g. So the product P of the
// path becomes P g/f where the row goes and P - P g/f elsewhere. Let H be the sum over the leaves below a child of the
// leaf's value times the factors below the child, D the difference between the H of where the row goes and that of
// elsewhere. Then the node's own H is that of elsewhere plus D g/f. Feature j has had its part counted at the splits
// above with the given (1-z) for these leaves, and needs 1 - z s where the row goes and -z (1-s) elsewhere: what is
// missing adds up to z (1-s) times the integral of P D / f^2. Where no split above asks for j, z and f are 1.
//
// Where the row doesn't pass the splits above, its value decides nothing any more: the children have the shares s and
// 1-s of the path, and all that j counts has been counted.
//
// So one pass forwards over the splits gives every P, and one backwards every H. Leaves have lists of their own: which
// node is one can't be foreseen, and a wrong guess of the processor's costs more than all that is computed at a node.

typedef double quad __attribute__((vector_size(32), aligned(8)));

#define INLINE static inline __attribute__((always_inline))

// The lanes of something, four and four.
#define LOW(x) (*(quad *)&(x)[0])
#define HIGH(x) (*(quad *)&(x)[4])

// Finds where the row goes from a split, what the splits above knew of its feature, and the products of its children.
INLINE void forwards(const forest_rule *rule, const forest_split *s, const int32_t *row, forest_place *places) {
  forest_place *p = &places[s->at];
  uint32_t right = row[s->slot] > s->threshold;
  double shares[2] = {s->share, 1 - (double)s->share}, share = shares[right], known = 1;
  if (s->via) known = places[s->prior].taken == s->via ? places[s->prior].known * places[s->prior].share : 0;
  double open = known == 0 ? share : 1;
  p->taken = s->left + right;
  p->share = share;
  p->known = known;
  p->open = open;
  p->gain = known * (1 - share);
  quad r = open * LOW(rule->points) + share * LOW(rule->rest), q = open * HIGH(rule->points) + share * HIGH(rule->rest);
  if (s->via && known != 0) {
    r = (LOW(rule->points) + known * share * LOW(rule->rest)) / (LOW(rule->points) + known * LOW(rule->rest));
    q = (HIGH(rule->points) + known * share * HIGH(rule->rest)) / (HIGH(rule->points) + known * HIGH(rule->rest));
  }
  forest_place *taken = &places[p->taken], *other = &places[s->left + 1 - right];
  quad low = LOW(p->lanes), high = HIGH(p->lanes);
  r *= low;
  q *= high;
  LOW(taken->lanes) = r;
  HIGH(taken->lanes) = q;
  LOW(other->lanes) = low - r;
  HIGH(other->lanes) = high - q;
}

// Puts a split's H in the place of its P, and adds up what its feature counts.
INLINE void backwards(const forest_rule *rule, const forest_split *s, forest_place *places, quad *contributions) {
  forest_place *p = &places[s->at], *taken = &places[p->taken], *other = &places[2 * s->left + 1 - p->taken];
  double open = p->open, share = p->share, known = p->known;
  quad r = open * LOW(rule->points) + share * LOW(rule->rest), q = open * HIGH(rule->points) + share * HIGH(rule->rest);
  quad low = LOW(taken->lanes) - LOW(other->lanes), high = HIGH(taken->lanes) - HIGH(other->lanes);
  quad first = LOW(p->lanes) * low, second = HIGH(p->lanes) * high;
  if (s->via && known != 0) {
    quad f = LOW(rule->points) + known * LOW(rule->rest), g = HIGH(rule->points) + known * HIGH(rule->rest);
    r = (LOW(rule->points) + known * share * LOW(rule->rest)) / f;
    q = (HIGH(rule->points) + known * share * HIGH(rule->rest)) / g;
    first /= f * f;
    second /= g * g;
  }
  LOW(p->lanes) = LOW(other->lanes) + r * low;
  HIGH(p->lanes) = HIGH(other->lanes) + q * high;
  contributions[s->slot / 2 - 1] += p->gain * (first + second);
}

INLINE void explain(const forest_count *trees, uint32_t tree_count, const forest_split *splits, const forest_leaf *leaves,
                    const forest_rule *rule, const int32_t *row, forest_place *places, double *contributions) {
  quad sums[FOREST_FEATURES] = {{0}};
  for (uint32_t t = 0; t < tree_count; t++) {
    LOW(places[0].lanes) = LOW(rule->weights);
    HIGH(places[0].lanes) = HIGH(rule->weights);
    for (uint32_t i = 0; i < trees[t].splits; i++) forwards(rule, &splits[i], row, places);
    for (uint32_t i = 0; i < trees[t].leaves; i++) {
      quad zero = {0}, value = zero + (double)leaves[i].value;
      LOW(places[leaves[i].at].lanes) = value;
      HIGH(places[leaves[i].at].lanes) = value;
    }
    for (uint32_t i = trees[t].splits; i-- > 0;) backwards(rule, &splits[i], places, sums);
    splits += trees[t].splits;
    leaves += trees[t].leaves;
  }
  for (int f = 0; f < FOREST_FEATURES; f++) contributions[f] = (sums[f][0] + sums[f][1]) + (sums[f][2] + sums[f][3]);
}

#if defined(__x86_64__)

bool forest_has_wide(void) { return __builtin_cpu_supports("avx2"); }

// The same operations in the same order: the same values. (Sets that are wider still bring fused operations along, which
// round otherwise.)
__attribute__((target("avx2"))) static void explain_wide(const forest_count *trees, uint32_t tree_count, const forest_split *splits,
                                                         const forest_leaf *leaves, const forest_rule *rule, const int32_t *row,
                                                         forest_place *places, double *contributions) {
  explain(trees, tree_count, splits, leaves, rule, row, places, contributions);
}

#else

bool forest_has_wide(void) { return false; }

#define explain_wide explain

#endif

void forest_explain(const forest_count *trees, uint32_t tree_count, const forest_split *splits, const forest_leaf *leaves,
                    const forest_rule *rule, const int32_t *row, forest_place *places, double *contributions, bool wide) {
  if (wide) {
    explain_wide(trees, tree_count, splits, leaves, rule, row, places, contributions);
  } else {
    explain(trees, tree_count, splits, leaves, rule, row, places, contributions);
  }
}
