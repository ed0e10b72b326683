package round

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"time"

	"crisol"
	"crisol/internal/scenario"
)

// Shard is one of several parts of the library. The parts are disjoint, together they are all of it, and a scenario stays
// in its part whatever else comes and goes.
type Shard struct{ K, N int } // the K-th of N, from 1; the zero value is everything

var shardForm = regexp.MustCompile(`^(today|[0-9]{1,4})/([0-9]{1,4})$`)

// ParseShard reads K/N, or today/N: another part each day (UTC), and all of them within N days.
func ParseShard(text string, now time.Time) (Shard, error) {
	m := shardForm.FindStringSubmatch(text)
	if m == nil {
		return Shard{}, badShard(text)
	}
	n, _ := strconv.Atoi(m[2]) // the form bounds it
	if n == 0 {
		return Shard{}, badShard(text)
	}
	if m[1] == "today" {
		return Shard{int(now.Unix()/(24*60*60))%n + 1, n}, nil
	}
	k, _ := strconv.Atoi(m[1])
	if k < 1 || k > n {
		return Shard{}, badShard(text)
	}
	return Shard{k, n}, nil
}

func badShard(text string) error {
	err := crisol.Errorf(crisol.KindInput, "%q is not a part of the library", text)
	return crisol.WithHint(err, "write K/N with K from 1 to N, such as 3/10, or today/10 for another tenth each day")
}

// String is the form that ParseShard reads.
func (p Shard) String() string { return fmt.Sprintf("%d/%d", p.K, p.N) }

// Has says whether the scenario of an id belongs to the part.
func (p Shard) Has(id string) bool {
	if p.N == 0 {
		return true
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(id))
	return int(sum.Sum32()%uint32(p.N)) == p.K-1
}

// Of returns those of the scenarios that belong to the part.
func (p Shard) Of(list []*scenario.Scenario) (part []*scenario.Scenario) {
	for _, s := range list {
		if p.Has(s.ID) {
			part = append(part, s)
		}
	}
	return part
}
