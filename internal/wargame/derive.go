package wargame

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"crisol"
	"crisol/internal/oracle"
	"crisol/internal/scenario"
	"crisol/internal/variant"
)

// The most variants of one exploit that are kept; a slow oracle makes each of them costly.
const (
	mostVariants     = 12
	mostSlowVariants = 3
	mostFamiliesKept = 1 // of the slow ones, so that others than those of an ambiguity are among them
	mostEvasions     = 4
)

// strikes is how often a derived variant must succeed on the vulnerable side, and be blocked by the reference, to count.
const strikes = 2

// leak begins the reason of a variant that works on the reference too.
const leak = "the reference lets it through"

// Leaks says whether a variant was left out because the reference fix doesn't stop it: a finding, not a variant.
func Leaks(reason string) bool { return len(reason) >= len(leak) && reason[:len(leak)] == leak }

// Derive makes the variants that the scenario's exploits ask for and tries each: one counts where it succeeds on the
// vulnerable side and is blocked, having reached its target, by the reference. What counts, and why the others don't, is
// for variants.json. watch hears of each.
func (a *Arena) Derive(ctx context.Context, s *scenario.Scenario, watch func(exploit string, v variant.Variant, reason string)) (scenario.Variants, error) {
	t := &trial{
		Arena: a, gates: map[crisol.GateName]crisol.Gate{},
		Order: Order{Scenario: s, Candidate: Candidate{Reference: &s.Target.Reference, LockSide: "reference"}, Watch: func(Event) {}},
	}
	found := scenario.Variants{Exploits: map[string][]variant.Variant{}, LeftOut: map[string]map[string]string{}}
	dir, err := a.workspace()
	if err != nil {
		return found, err
	}
	defer a.discard(dir)
	defer func() {
		a.release(t.vulnerable)
		a.release(t.patched)
	}()
	ready, err := t.prepare(ctx, dir)
	if err != nil {
		return found, err
	}
	if !ready {
		return found, crisol.Errorf(crisol.KindInfrastructure, "both sides of %s are needed and can't be made: %s", s.ID, t.unready())
	}
	for _, x := range s.Exploits {
		if x.Derive == nil {
			continue
		}
		counts, leftOut, err := t.derive(ctx, x, watch)
		if err != nil {
			return found, err
		}
		found.Exploits[x.ID], found.LeftOut[x.ID] = counts, leftOut
	}
	return found, nil
}

// unready says what kept the sides from being made.
func (t *trial) unready() string {
	for _, name := range gateOrder {
		if gate, known := t.gates[name]; known && gate.Outcome != crisol.Passed && gate.Outcome != crisol.Skipped {
			return gate.Evidence
		}
	}
	return "no gate says why"
}

// derive tries the variants of one exploit.
func (t *trial) derive(ctx context.Context, x scenario.Exploit, watch func(string, variant.Variant, string)) ([]variant.Variant, map[string]string, error) {
	list, err := variant.Derive(x.Derive.Form, x.Payload, x.Derive.Hint)
	if err != nil {
		return nil, nil, err
	}
	if x.Derive.Form == "pump" {
		families, err := t.families()
		if err != nil {
			return nil, nil, err
		}
		list = append(families, list...)
	}
	list = slices.DeleteFunc(list, func(v variant.Variant) bool { return t.owns(x, v) })
	reasons := make([]string, len(list))
	var mu sync.Mutex // guards watch
	err = parallel(ctx, len(list), func(ctx context.Context, i int) (err error) {
		reasons[i], err = t.tryVariant(ctx, x, list[i])
		if err != nil && ctx.Err() == nil && crisol.KindOf(err) == crisol.KindInfrastructure {
			reasons[i], err = "it can't be tried here: "+err.Error(), nil // it may have taken the sandbox down with it
		}
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			watch(x.ID, list[i], reasons[i])
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	most := mostVariants
	if oracle.SlowOf(x.Oracle) != nil {
		most = mostSlowVariants
	}
	counts, evasions, leftOut := []variant.Variant{}, []variant.Variant{}, map[string]string{}
	families := 0
	for i, v := range list {
		evasion := v.Evasion && reasons[i] == dead
		v.Evasion = evasion
		switch {
		case evasion && len(evasions) < mostEvasions:
			evasions = append(evasions, v)
		case reasons[i] != "":
			leftOut[v.ID] = reasons[i]
		case len(counts) == most, isFamily(v) && families == mostFamiliesKept:
			leftOut[v.ID] = fmt.Sprintf("it works, and so do %d before it", len(counts))
		default:
			counts = append(counts, v)
			if isFamily(v) {
				families++
			}
		}
	}
	return append(counts, evasions...), leftOut, nil
}

// owns says whether the manifest already has an exploit with the same program and payload.
func (t *trial) owns(x scenario.Exploit, v variant.Variant) bool {
	return slices.ContainsFunc(t.Scenario.Exploits, func(other scenario.Exploit) bool {
		return other.DerivedFrom == "" && slices.Equal(other.Run, x.Run) && bytes.Equal(other.Payload, v.Payload)
	})
}

// dead is the reason of a variant that is blocked by the reference and did nothing before.
const dead = "it doesn't succeed on the vulnerable target"

// tryVariant says why a variant doesn't count, or "" when it does.
func (t *trial) tryVariant(ctx context.Context, x scenario.Exploit, v variant.Variant) (string, error) {
	x.ID, x.Payload = x.ID+"@"+v.ID, v.Payload
	works := true
	for range strikes {
		got, err := t.strike(ctx, t.Scenario, t.vulnerable, x)
		if err != nil {
			return "", err
		}
		if works = got.fate == held; !works {
			break
		}
	}
	if !works && !v.Evasion {
		return dead, nil
	}
	for range strikes {
		got, err := t.strike(ctx, t.Scenario, t.patched, x)
		switch {
		case err != nil:
			return "", err
		case got.fate == held:
			return leak + ": " + got.words, nil
		case got.fate != notHeld:
			return "it can't be told whether the reference blocks it: " + got.words, nil
		}
	}
	if !works {
		return dead, nil
	}
	return "", nil
}
